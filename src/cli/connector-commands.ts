import type { CommandEntry } from './spec.ts';

/** The commands about connectors, their groups, segments and keys. */
export const connectorCommands: readonly CommandEntry[] = [
  {
    path: 'connector vendor-ca root',
    summary: "Print the root above vendors' enrolment CAs",
    load: async () => (await import('./commands/vendor-root.ts')).vendorRoot.show,
  },
  {
    path: 'connector vendor-ca roots',
    summary: 'List the enrolment roots, or print them all',
    load: async () => (await import('./commands/vendor-root.ts')).vendorRoot.list,
  },
  {
    path: 'connector vendor-ca prepare-root',
    summary: 'Make the enrolment root that is to sign next',
    load: async () => (await import('./commands/vendor-root.ts')).vendorRoot.prepare,
  },
  {
    path: 'connector vendor-ca activate-root',
    summary: 'Have the prepared root sign from now on',
    load: async () => (await import('./commands/vendor-root.ts')).vendorRoot.activate,
  },
  {
    path: 'connector vendor-ca sign',
    summary: 'Sign the enrolment CA of a vendor',
    load: async () => (await import('./commands/vendor-ca.ts')).vendorCa.sign,
  },
  {
    path: 'connector vendor-ca list',
    summary: "List vendors' enrolment CAs",
    load: async () => (await import('./commands/vendor-ca.ts')).vendorCa.list,
  },
  {
    path: 'connector vendor-key set',
    summary: 'Give the provisioning key of a vendor for a group',
    load: async () => (await import('./commands/vendor-key.ts')).vendorKey.set,
  },
  {
    path: 'connector vendor-key list',
    summary: "List vendors' keys and their uses",
    load: async () => (await import('./commands/vendor-key.ts')).vendorKey.list,
  },
  {
    path: 'connector vendor-key delete',
    summary: 'Forget the vendor key of a group',
    load: async () => (await import('./commands/vendor-key.ts')).vendorKey.remove,
  },
  {
    path: 'connector group create',
    summary: 'Make a group, into which connectors enrol',
    load: async () => (await import('./commands/connector-group.ts')).connectorGroupCreate,
  },
  {
    path: 'connector group update',
    summary: 'Change a group',
    load: async () => (await import('./commands/connector-group.ts')).connectorGroupUpdate,
  },
  {
    path: 'connector group list',
    summary: 'List groups',
    load: async () => (await import('./commands/connector-group.ts')).connectorGroupList,
  },
  {
    path: 'connector group show',
    summary: 'Show one group',
    load: async () => (await import('./commands/connector-group.ts')).connectorGroupShow,
  },
  {
    path: 'connector group delete',
    summary: 'Delete a group in which nobody is',
    load: async () => (await import('./commands/connector-group.ts')).connectorGroupDelete,
  },
  {
    path: 'connector segment create',
    summary: 'Say what may be reached through connectors, by whom',
    load: async () => (await import('./commands/connector-segment.ts')).connectorSegmentCreate,
  },
  {
    path: 'connector segment update',
    summary: 'Change a segment',
    load: async () => (await import('./commands/connector-segment.ts')).connectorSegmentUpdate,
  },
  {
    path: 'connector segment list',
    summary: 'List segments',
    load: async () => (await import('./commands/connector-segment.ts')).connectorSegmentList,
  },
  {
    path: 'connector segment show',
    summary: 'Show one segment',
    load: async () => (await import('./commands/connector-segment.ts')).connectorSegmentShow,
  },
  {
    path: 'connector segment delete',
    summary: 'Delete a segment',
    load: async () => (await import('./commands/connector-segment.ts')).connectorSegmentDelete,
  },
  {
    path: 'connector segment explain',
    summary: 'Show which segment a flow falls under',
    load: async () => (await import('./commands/connector-segment.ts')).connectorSegmentExplain,
  },
  {
    path: 'connector key create',
    summary: 'Make a provisioning key, with which connectors enrol',
    load: async () => (await import('./commands/connector-key.ts')).connectorKeyCreate,
  },
  {
    path: 'connector key list',
    summary: 'List provisioning keys',
    load: async () => (await import('./commands/connector-key.ts')).connectorKeyList,
  },
  {
    path: 'connector key delete',
    summary: 'Delete a provisioning key',
    load: async () => (await import('./commands/connector-key.ts')).connectorKeyDelete,
  },
  {
    path: 'connector bound-key register',
    summary: 'Register the public key of one connector',
    load: async () => (await import('./commands/connector-key.ts')).connectorBoundKeyRegister,
  },
  {
    path: 'connector bound-key list',
    summary: 'List bound keys',
    load: async () => (await import('./commands/connector-key.ts')).connectorBoundKeyList,
  },
  {
    path: 'connector bound-key delete',
    summary: 'Delete a bound key',
    load: async () => (await import('./commands/connector-key.ts')).connectorBoundKeyDelete,
  },
  {
    path: 'connector list',
    summary: 'List connectors',
    load: async () => (await import('./commands/connector-list.ts')).connectorList,
  },
  {
    path: 'connector show',
    summary: 'Show one connector',
    load: async () => (await import('./commands/connector-list.ts')).connectorShow,
  },
  {
    path: 'connector watch',
    summary: 'Print how connectors stand, and every change',
    load: async () => (await import('./commands/connector-watch.ts')).connectorWatch,
  },
  {
    path: 'connector drain',
    summary: 'Have connectors finish their flows and leave',
    load: async () => (await import('./commands/connector-act.ts')).connectorDrain,
  },
  {
    path: 'connector resume',
    summary: 'Have connectors that drain take flows again',
    load: async () => (await import('./commands/connector-act.ts')).connectorResume,
  },
  {
    path: 'connector revoke',
    summary: 'Shut connectors out for good',
    load: async () => (await import('./commands/connector-act.ts')).connectorRevoke,
  },
  {
    path: 'connector delete',
    summary: 'Forget connectors that have ended',
    load: async () => (await import('./commands/connector-act.ts')).connectorDelete,
  },
  {
    path: 'connector upgrade',
    summary: 'Have connectors go to another version',
    load: async () => (await import('./commands/connector-act.ts')).connectorUpgrade,
  },
  {
    path: 'connector renew',
    summary: 'Have connectors renew their certificates now',
    load: async () => (await import('./commands/connector-act.ts')).connectorRenew,
  },
  {
    path: 'connector re-enrol',
    summary: 'Have connectors prove anew who they are',
    load: async () => (await import('./commands/connector-act.ts')).connectorReEnrol,
  },
  {
    path: 'connector diagnose',
    summary: 'Ask connectors how they are inside, and print it',
    load: async () => (await import('./commands/connector-diagnose.ts')).connectorDiagnose,
  },
];
