import { connectorCommands } from './connector-commands.ts';
import type { CommandEntry } from './spec.ts';

/** The commands that talk to a server or an agent. Those that run one are added by `src/main`. */
export const cliCommands: readonly CommandEntry[] = [
  {
    path: 'entry create',
    summary: 'Say which processes get which identity',
    load: async () => (await import('./commands/entry-create.ts')).entryCreate,
  },
  {
    path: 'entry update',
    summary: 'Change an entry',
    load: async () => (await import('./commands/entry-update.ts')).entryUpdate,
  },
  {
    path: 'entry show',
    summary: 'Show entries, all or by filter',
    load: async () => (await import('./commands/entry-list.ts')).entryShow,
  },
  {
    path: 'entry count',
    summary: 'Count entries, all or by filter',
    load: async () => (await import('./commands/entry-list.ts')).entryCount,
  },
  {
    path: 'entry delete',
    summary: 'Delete entries',
    load: async () => (await import('./commands/entry-delete.ts')).entryDelete,
  },
  {
    path: 'agent list',
    summary: 'List attested agents',
    load: async () => (await import('./commands/agent-list.ts')).agentList,
  },
  {
    path: 'agent show',
    summary: 'Show one agent',
    load: async () => (await import('./commands/agent-list.ts')).agentShow,
  },
  {
    path: 'agent count',
    summary: 'Count attested agents',
    load: async () => (await import('./commands/agent-list.ts')).agentCount,
  },
  {
    path: 'agent ban',
    summary: 'Shut an agent out for good',
    load: async () => (await import('./commands/agent-remove.ts')).agentBan,
  },
  {
    path: 'agent evict',
    summary: 'Forget an agent',
    load: async () => (await import('./commands/agent-remove.ts')).agentEvict,
  },
  {
    path: 'token generate',
    summary: 'Make a join token, with which one agent attests',
    load: async () => (await import('./commands/token-generate.ts')).tokenGenerate,
  },
  {
    path: 'bundle show',
    summary: 'Print the trust bundle',
    load: async () => (await import('./commands/bundle-show.ts')).bundleShow,
  },
  {
    path: 'bundle set',
    summary: 'Bring the bundle of another trust domain',
    load: async () => (await import('./commands/bundle-federated.ts')).bundleSet,
  },
  {
    path: 'bundle list',
    summary: 'Print the bundles of other trust domains',
    load: async () => (await import('./commands/bundle-federated.ts')).bundleList,
  },
  {
    path: 'bundle delete',
    summary: 'Forget the bundle of another trust domain',
    load: async () => (await import('./commands/bundle-federated.ts')).bundleDelete,
  },
  {
    path: 'bundle count',
    summary: 'Count trust bundles',
    load: async () => (await import('./commands/bundle-federated.ts')).bundleCount,
  },
  {
    path: 'federation create',
    summary: 'Federate with another trust domain',
    load: async () => (await import('./commands/federation.ts')).federationCreate,
  },
  {
    path: 'federation update',
    summary: 'Change a federation relationship',
    load: async () => (await import('./commands/federation.ts')).federationUpdate,
  },
  {
    path: 'federation list',
    summary: 'List federation relationships',
    load: async () => (await import('./commands/federation.ts')).federationList,
  },
  {
    path: 'federation show',
    summary: 'Show one federation relationship',
    load: async () => (await import('./commands/federation.ts')).federationShow,
  },
  {
    path: 'federation refresh',
    summary: 'Fetch the bundle of another trust domain now',
    load: async () => (await import('./commands/federation.ts')).federationRefresh,
  },
  {
    path: 'federation delete',
    summary: 'End a federation relationship',
    load: async () => (await import('./commands/federation.ts')).federationDelete,
  },
  {
    path: 'localauthority x509 show',
    summary: 'Show the X.509 authorities of the server',
    load: async () => (await import('./commands/local-authority.ts')).localAuthority.x509.show,
  },
  {
    path: 'localauthority x509 prepare',
    summary: 'Make and publish an X.509 authority',
    load: async () => (await import('./commands/local-authority.ts')).localAuthority.x509.prepare,
  },
  {
    path: 'localauthority x509 activate',
    summary: 'Sign by a prepared X.509 authority from now on',
    load: async () => (await import('./commands/local-authority.ts')).localAuthority.x509.activate,
  },
  {
    path: 'localauthority x509 taint',
    summary: 'Have renewed what an old X.509 authority signed',
    load: async () => (await import('./commands/local-authority.ts')).localAuthority.x509.taint,
  },
  {
    path: 'localauthority x509 revoke',
    summary: 'Trust a tainted X.509 authority no longer',
    load: async () => (await import('./commands/local-authority.ts')).localAuthority.x509.revoke,
  },
  {
    path: 'localauthority jwt show',
    summary: 'Show the JWT authorities of the server',
    load: async () => (await import('./commands/local-authority.ts')).localAuthority.jwt.show,
  },
  {
    path: 'localauthority jwt prepare',
    summary: 'Make and publish a JWT authority',
    load: async () => (await import('./commands/local-authority.ts')).localAuthority.jwt.prepare,
  },
  {
    path: 'localauthority jwt activate',
    summary: 'Sign by a prepared JWT authority from now on',
    load: async () => (await import('./commands/local-authority.ts')).localAuthority.jwt.activate,
  },
  {
    path: 'localauthority jwt taint',
    summary: 'Have renewed what an old JWT authority signed',
    load: async () => (await import('./commands/local-authority.ts')).localAuthority.jwt.taint,
  },
  {
    path: 'localauthority jwt revoke',
    summary: 'Trust a tainted JWT authority no longer',
    load: async () => (await import('./commands/local-authority.ts')).localAuthority.jwt.revoke,
  },
  {
    path: 'upstreamauthority taint',
    summary: 'Have renewed what leads to a root of the upstream',
    load: async () => (await import('./commands/upstream-authority.ts')).upstreamAuthority.taint,
  },
  {
    path: 'upstreamauthority revoke',
    summary: 'Trust a tainted root of the upstream no longer',
    load: async () => (await import('./commands/upstream-authority.ts')).upstreamAuthority.revoke,
  },
  {
    path: 'x509 mint',
    summary: 'Make an X.509-SVID by hand',
    load: async () => (await import('./commands/x509-mint.ts')).x509Mint,
  },
  {
    path: 'svid revoke',
    summary: 'Take X.509-SVIDs back before they end',
    load: async () => (await import('./commands/svid-revoke.ts')).svidRevoke,
  },
  {
    path: 'svid revocations',
    summary: 'List the X.509-SVIDs that were taken back',
    load: async () => (await import('./commands/svid-revocations.ts')).svidRevocations,
  },
  {
    path: 'jwt mint',
    summary: 'Make a JWT-SVID by hand',
    load: async () => (await import('./commands/jwt-mint.ts')).jwtMint,
  },
  {
    path: 'rule explain',
    summary: 'Say what Kubernetes rules give a pod, and why',
    load: async () => (await import('./commands/rule-explain.ts')).ruleExplain,
  },
  ...connectorCommands,
  {
    path: 'dpu import',
    summary: 'Take DPUs into the inventory',
    load: async () => (await import('./commands/dpu-import.ts')).dpuImport,
  },
  {
    path: 'dpu list',
    summary: 'List the DPUs of the inventory',
    load: async () => (await import('./commands/dpu-list.ts')).dpuList,
  },
  {
    path: 'dpu show',
    summary: 'Show one DPU with its last verdict',
    load: async () => (await import('./commands/dpu-list.ts')).dpuShow,
  },
  {
    path: 'dpu commission',
    summary: 'Pin the device keys and baseline of a DPU',
    load: async () => (await import('./commands/dpu-commission.ts')).dpuCommission,
  },
  {
    path: 'dpu baseline',
    summary: 'Let a DPU change its baseline for a while',
    load: async () => (await import('./commands/dpu-act.ts')).dpuBaseline,
  },
  {
    path: 'dpu quarantine',
    summary: 'Stop everything on the node of a DPU',
    load: async () => (await import('./commands/dpu-act.ts')).dpuQuarantine,
  },
  {
    path: 'dpu release',
    summary: 'Let a DPU attest again',
    load: async () => (await import('./commands/dpu-act.ts')).dpuRelease,
  },
  {
    path: 'dpu retire',
    summary: 'Take a DPU out of use',
    load: async () => (await import('./commands/dpu-act.ts')).dpuRetire,
  },
  {
    path: 'dpu confirm-host',
    summary: 'Take a new key of the host that a DPU vouches for',
    load: async () => (await import('./commands/dpu-act.ts')).dpuConfirmHost,
  },
  {
    path: 'dpu attest',
    summary: 'Have DPUs attest again, or look at one',
    load: async () => (await import('./commands/dpu-attest.ts')).dpuAttest,
  },
  {
    path: 'dpu evidence',
    summary: 'Print the evidence that a verdict rests on',
    load: async () => (await import('./commands/dpu-act.ts')).dpuEvidence,
  },
  {
    path: 'dpu manifest verify',
    summary: 'Check a signed reference manifest',
    load: async () => (await import('./commands/dpu-manifest.ts')).dpuManifestVerify,
  },
  {
    path: 'dpu manifest show',
    summary: 'Show a reference manifest that is not signed yet',
    load: async () => (await import('./commands/dpu-manifest.ts')).dpuManifestShow,
  },
  {
    path: 'dpu manifest sign',
    summary: 'Sign a reference manifest',
    load: async () => (await import('./commands/dpu-manifest.ts')).dpuManifestSign,
  },
  {
    path: 'dpu manifest draft',
    summary: 'Draft a reference manifest from what cards measure',
    load: async () => (await import('./commands/dpu-inspect.ts')).dpuManifestDraft,
  },
  {
    path: 'dpu inspect',
    summary: 'Show what cards measure, and what one would pin for them',
    load: async () => (await import('./commands/dpu-inspect.ts')).dpuInspect,
  },
  {
    path: 'dpu corim show',
    summary: 'Show the reference values of a CoRIM',
    load: async () => (await import('./commands/dpu-manifest.ts')).dpuCorimShow,
  },
  {
    path: 'ledger status',
    summary: 'Show the last checkpoint of the issuance ledger',
    load: async () => (await import('./commands/ledger-status.ts')).ledgerStatus,
  },
  {
    path: 'ledger search',
    summary: 'Find records of the issuance ledger',
    load: async () => (await import('./commands/ledger-search.ts')).ledgerSearch,
  },
  {
    path: 'ledger prove',
    summary: 'Prove that a record is in the issuance ledger',
    load: async () => (await import('./commands/ledger-prove.ts')).ledgerProve,
  },
  {
    path: 'ledger verify',
    summary: 'Check the issuance ledger, or a proof from it',
    load: async () => (await import('./commands/ledger-verify.ts')).ledgerVerify,
  },
  {
    path: 'ledger export',
    summary: 'Print the records of the issuance ledger',
    load: async () => (await import('./commands/ledger-export.ts')).ledgerExport,
  },
  {
    path: 'healthcheck server',
    summary: 'Ask a server whether it serves',
    load: async () => (await import('./commands/healthcheck.ts')).healthcheckServer,
  },
  {
    path: 'healthcheck agent',
    summary: 'Ask an agent whether it serves',
    load: async () => (await import('./commands/healthcheck.ts')).healthcheckAgent,
  },
  {
    path: 'api fetch',
    summary: 'Fetch the SVIDs of this process',
    load: async () => (await import('./commands/api-fetch.ts')).apiFetch,
  },
  {
    path: 'api watch',
    summary: 'Print the SVIDs of this process at every change',
    load: async () => (await import('./commands/api-watch.ts')).apiWatch,
  },
  {
    path: 'api validate',
    summary: 'Have the agent validate a JWT-SVID',
    load: async () => (await import('./commands/api-validate.ts')).apiValidate,
  },
  {
    path: 'version',
    summary: 'Print the version',
    load: async () => (await import('./commands/version.ts')).version,
  },
];
