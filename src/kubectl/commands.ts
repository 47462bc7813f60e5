import type { CommandEntry, ProgramSpec } from '../cli/spec.ts';
import { exitCodeOf } from './exit-code.ts';
import { CONNECTION_FLAGS, outputFlag, SCOPE_FLAGS } from './flags.ts';

/** The commands of the plugin. */
export const kubectlCommands: readonly CommandEntry[] = [
  {
    path: 'list',
    summary: 'List copies of bundles, and which are in sync',
    load: async () => (await import('./commands/list.ts')).list,
  },
  {
    path: 'show',
    summary: 'Show every authority of a trust domain, and where it is',
    load: async () => (await import('./commands/show.ts')).show,
  },
  {
    path: 'diff',
    summary: 'Say in which authorities two copies differ',
    load: async () => (await import('./commands/diff.ts')).diff,
  },
  {
    path: 'drift',
    summary: 'Compare all copies to the reference',
    load: async () => (await import('./commands/drift.ts')).drift,
  },
  {
    path: 'verify',
    summary: 'Hold an SVID against the bundle of its trust domain',
    load: async () => (await import('./commands/verify.ts')).verify,
  },
  {
    path: 'svid',
    summary: 'Decode certificates or a JWT',
    load: async () => (await import('./commands/svid.ts')).svid,
  },
  {
    path: 'expiring',
    summary: 'List what ends soon, the most urgent first',
    load: async () => (await import('./commands/expiring.ts')).expiring,
  },
  {
    path: 'export',
    summary: 'Print a bundle, for what else is to trust it',
    load: async () => (await import('./commands/export.ts')).exportBundle,
  },
  {
    path: 'federation',
    summary: 'Ask the endpoints of partners, and compare',
    load: async () => (await import('./commands/federation.ts')).federation,
  },
  {
    path: 'whoami',
    summary: 'Say which SPIFFE ID a pod gets, and why',
    load: async () => (await import('./commands/whoami.ts')).whoami,
  },
  {
    path: 'connectors',
    summary: 'Show connector groups, their certificates and segments',
    load: async () => (await import('./commands/connectors.ts')).connectors,
  },
  {
    path: 'watch',
    summary: 'Print what changes in the copies',
    load: async () => (await import('./commands/watch.ts')).watch,
  },
  {
    path: 'doctor',
    summary: 'Look for what commonly goes wrong',
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  {
    path: 'version',
    summary: 'Print the version',
    load: async () => (await import('../cli/commands/version.ts')).version,
  },
];

/** What the plugin is called, and how it ends. */
export const kubectlProgram: ProgramSpec = {
  name: 'kubectl signet',
  about: 'See and check the trust bundles of a cluster. Nothing is ever changed.',
  notes: () => [
    "Without a command: list. Flags are kubectl's (-n, -A, -l, --context, --as).",
    '"kubectl signet <command> --help" shows the flags of a command and examples.',
    'Exit codes: 0 all is well, 1 findings, 2 usage, or it could not look.',
  ],
  globalFlags: [...CONNECTION_FLAGS, ...SCOPE_FLAGS, outputFlag([])],
  preset: 'list',
  attachedValues: true,
  exitCodeOf,
};
