import manifest from '../../../package.json' with { type: 'json' };
import { ok } from '../../base/result.ts';
import type { CommandSpec } from '../spec.ts';
import { safeJson } from '../text.ts';

/** `signet version`. */
export const version: CommandSpec = {
  prints: true,
  flags: [],
  examples: ['signet version', 'signet version -o json'],
  run: (input, io) => {
    const { version: signet } = manifest;
    const node = process.versions.node;
    const platform = `${process.platform}-${process.arch}`;
    io.out(
      input.text('output') === 'json'
        ? `${safeJson({ signet, node, platform })}\n`
        : `signet ${signet} (Node.js ${node}, ${platform})\n`,
    );
    return Promise.resolve(ok(undefined));
  },
};
