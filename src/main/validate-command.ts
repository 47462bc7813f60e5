import type { z } from 'zod';
import { ok } from '../base/result.ts';
import type { CommandSpec, FlagSpec } from '../cli/spec.ts';
import { counted } from '../cli/text.ts';
import { checkNamedFiles } from '../runtime/named-files.ts';
import { configSourceOf, EXPAND_ENV_FLAG, loadFrom } from './config-source.ts';

/** What is validated, and where it lies unless told. */
export interface Validated {
  readonly program: 'server' | 'agent' | 'connector';
  readonly fallback: string;
  readonly configFlag: FlagSpec;
  readonly schema: z.ZodType;
}

/** `signet server validate`, `signet agent validate` and `signet connector validate`. */
export function validateCommand(validated: Validated): CommandSpec {
  const { program, fallback, configFlag, schema } = validated;
  return {
    about: `Checks the form of the configuration, and that its settings agree. With --files it also looks whether the files that it names, such as keys and manifests, can be read here; what is in them is read when the ${program} starts.`,
    flags: [
      configFlag,
      EXPAND_ENV_FLAG,
      { name: 'files', help: 'check that the files it names can be read, by this user, here' },
    ],
    examples: [
      `signet ${program} validate --config ${fallback}`,
      `sudo -u signet signet ${program} validate --files`,
    ],
    run: async (input, io) => {
      const source = configSourceOf(input, io, { fallback, flags: [] });
      if (!source.ok) return source;
      const config = await loadFrom({ ...source.value, required: true }, schema);
      if (!config.ok) return config;
      const { path } = source.value;
      if (!input.has('files')) {
        io.out(`${path} is valid.\n`);
        return ok(undefined);
      }
      const files = await checkNamedFiles(config.value);
      if (!files.ok) return files;
      const count = counted(files.value.length, 'file that it names', 'files that it names');
      io.out(`${path} is valid; ${count} can be read.\n`);
      return ok(undefined);
    },
  };
}
