import { z } from 'zod';
import { absolutePathSetting } from '../../src/runtime/config.ts';
import { durationSetting } from '../../src/runtime/units.ts';

/** Signals that a program reloads by. */
const SIGNALS = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

/** What happens that hooks are for. */
export const HOOK_EVENTS = [
  'reload',
  'segments',
  'drain',
  'resume',
  'offline',
  'revoked',
  'upgrade',
  'diagnostics',
] as const;

/** Name of what happens. */
export type HookEvent = (typeof HOOK_EVENTS)[number];

const WHEN: Readonly<Record<HookEvent, string>> = {
  reload: 'After the certificate files have changed.',
  segments: 'After the segments have changed.',
  drain: 'When the connector is to take no new flows.',
  resume: 'When it is to take flows again.',
  offline: 'When it has been without a session for longer than its group allows.',
  revoked: 'When it was revoked, after its key files were removed.',
  upgrade: 'When the server asks for another version.',
  diagnostics: 'When the server asks for what helps to find a fault; its output is sent.',
};

const hookSchema = (event: HookEvent) =>
  z
    .strictObject({
      command: z
        .array(z.string().min(1).max(4096))
        .min(1)
        .max(64)
        .optional()
        .describe(
          'Program, by its absolute path, and its arguments. No shell; SIGNET_EVENT and other variables tell what happened.',
        ),
      signal: z.enum(SIGNALS).optional().describe('Sent to the process that is named below.'),
      pidPath: absolutePathSetting.optional().describe('File with the number of that process.'),
      processName: z
        .string()
        .min(1)
        .max(15)
        .optional()
        .describe('Name of that process, or of several, as /proc/PID/comm has it.'),
      timeout: durationSetting({ min: '100ms', max: '10m' })
        .prefault('30s')
        .describe('A command that takes longer is ended, and has failed.'),
    })
    .superRefine((hook, context) => {
      const message = problemOf(hook);
      if (message !== undefined) context.addIssue({ code: 'custom', path: [], message });
    })
    .optional()
    .describe(WHEN[event]);

interface Hook {
  readonly command?: readonly string[] | undefined;
  readonly signal?: string | undefined;
  readonly pidPath?: string | undefined;
  readonly processName?: string | undefined;
}

function problemOf({ command, signal, pidPath, processName }: Hook): string | undefined {
  if ((command === undefined) === (signal === undefined)) return 'give either command or signal';
  if (command !== undefined && !command[0]?.startsWith('/')) {
    return 'command: the program must be an absolute path';
  }
  const targets = [pidPath, processName].filter((target) => target !== undefined).length;
  if (signal === undefined) {
    return targets === 0 ? undefined : 'pidPath and processName are for signal';
  }
  return targets === 1 ? undefined : 'signal: give either pidPath or processName';
}

/** Schema of the `hooks` section of `connector.yaml`. */
export const hooksSchema = z
  .strictObject({
    reload: hookSchema('reload'),
    segments: hookSchema('segments'),
    drain: hookSchema('drain'),
    resume: hookSchema('resume'),
    offline: hookSchema('offline'),
    revoked: hookSchema('revoked'),
    upgrade: hookSchema('upgrade'),
    diagnostics: hookSchema('diagnostics'),
  })
  .prefault({});

/** The `hooks` section. */
export type HookSettings = z.output<typeof hooksSchema>;

/** One hook. */
export type HookSpec = NonNullable<HookSettings[HookEvent]>;
