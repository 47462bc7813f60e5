import { ok } from '../../base/result.ts';
import { withAgent } from '../agent-connection.ts';
import { formatError } from '../report.ts';
import type { CommandSpec } from '../spec.ts';
import { formatX509Context, x509ContextJson } from '../svid-view.ts';
import { safeJson } from '../text.ts';

/** `signet api watch`. */
export const apiWatch: CommandSpec = {
  connects: 'agent',
  prints: true,
  about: 'Prints every update of the X.509-SVIDs and bundles of this process, until Ctrl-C.',
  flags: [],
  examples: ['signet api watch', 'signet api watch -o json'],
  run: (input, io) =>
    withAgent(input, io, async ({ client }) => {
      const json = input.text('output') === 'json';
      const final = await new Promise<Parameters<typeof formatError>[0] | undefined>((resolve) => {
        // Timers of the clock do not keep a process alive; between two streams nothing else would.
        const alive = setInterval(() => {}, 2 ** 30);
        let told = '';
        const watch = client.watchX509Context({
          onUpdate: (context) => {
            told = '';
            const time = new Date(io.clock.nowMs()).toISOString();
            io.out(
              json
                ? `${safeJson(x509ContextJson(context))}\n`
                : `${time}\n${formatX509Context(context, io)}\n`,
            );
          },
          onError: (error, isFinal) => {
            if (isFinal) end(error);
            else if (error.message !== told) io.err(formatError(error));
            // Each retry says the same: once is enough until something changes.
            told = error.message;
          },
        });
        const end = (error?: Parameters<typeof formatError>[0]): void => {
          clearInterval(alive);
          watch.close();
          resolve(error);
        };
        io.signal.addEventListener('abort', () => end(), { once: true });
      });
      return final === undefined ? ok(undefined) : { ok: false, error: final };
    }),
};
