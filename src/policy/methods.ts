import type { Caller } from './grant.ts';

/** Kind of a caller. */
export type CallerKind = Caller['kind'];

const ANYONE: readonly CallerKind[] = ['local', 'admin', 'downstream', 'agent', 'anonymous'];
const ANYONE_OVER_TCP: readonly CallerKind[] = ['admin', 'downstream', 'agent', 'anonymous'];
const OPERATORS: readonly CallerKind[] = ['local', 'admin'];
const OPERATORS_AND_AGENTS: readonly CallerKind[] = ['local', 'admin', 'agent'];
const AGENTS: readonly CallerKind[] = ['agent'];
const DOWNSTREAM: readonly CallerKind[] = ['downstream'];
const CONNECTORS: readonly CallerKind[] = ['connector'];
const LOCAL: readonly CallerKind[] = ['local'];

/**
 * Who may call what: every RPC of the server, by `/package.Service/Method`. What is not here is
 * refused. SPIRE's table, and our own services.
 */
export const METHOD_CALLERS: ReadonlyMap<string, readonly CallerKind[]> = new Map([
  ['/spire.api.server.agent.v1.Agent/CountAgents', OPERATORS],
  ['/spire.api.server.agent.v1.Agent/ListAgents', OPERATORS],
  ['/spire.api.server.agent.v1.Agent/GetAgent', OPERATORS],
  ['/spire.api.server.agent.v1.Agent/DeleteAgent', OPERATORS],
  ['/spire.api.server.agent.v1.Agent/BanAgent', OPERATORS],
  ['/spire.api.server.agent.v1.Agent/CreateJoinToken', OPERATORS],
  ['/spire.api.server.agent.v1.Agent/AttestAgent', ANYONE],
  ['/spire.api.server.agent.v1.Agent/RenewAgent', AGENTS],
  ['/spire.api.server.agent.v1.Agent/PostStatus', AGENTS],

  ['/spire.api.server.bundle.v1.Bundle/GetBundle', ANYONE],
  ['/spire.api.server.bundle.v1.Bundle/GetFederatedBundle', OPERATORS_AND_AGENTS],
  ['/spire.api.server.bundle.v1.Bundle/CountBundles', OPERATORS],
  ['/spire.api.server.bundle.v1.Bundle/ListFederatedBundles', OPERATORS],
  ['/spire.api.server.bundle.v1.Bundle/BatchCreateFederatedBundle', OPERATORS],
  ['/spire.api.server.bundle.v1.Bundle/BatchUpdateFederatedBundle', OPERATORS],
  ['/spire.api.server.bundle.v1.Bundle/BatchSetFederatedBundle', OPERATORS],
  ['/spire.api.server.bundle.v1.Bundle/BatchDeleteFederatedBundle', OPERATORS],
  ['/spire.api.server.bundle.v1.Bundle/PublishJWTAuthority', DOWNSTREAM],

  ['/spire.api.server.trustdomain.v1.TrustDomain/ListFederationRelationships', OPERATORS],
  ['/spire.api.server.trustdomain.v1.TrustDomain/GetFederationRelationship', OPERATORS],
  ['/spire.api.server.trustdomain.v1.TrustDomain/BatchCreateFederationRelationship', OPERATORS],
  ['/spire.api.server.trustdomain.v1.TrustDomain/BatchUpdateFederationRelationship', OPERATORS],
  ['/spire.api.server.trustdomain.v1.TrustDomain/BatchDeleteFederationRelationship', OPERATORS],
  ['/spire.api.server.trustdomain.v1.TrustDomain/RefreshBundle', OPERATORS],

  ['/spire.api.server.entry.v1.Entry/CountEntries', OPERATORS],
  ['/spire.api.server.entry.v1.Entry/ListEntries', OPERATORS],
  ['/spire.api.server.entry.v1.Entry/GetEntry', OPERATORS],
  ['/spire.api.server.entry.v1.Entry/BatchCreateEntry', OPERATORS],
  ['/spire.api.server.entry.v1.Entry/BatchUpdateEntry', OPERATORS],
  ['/spire.api.server.entry.v1.Entry/BatchDeleteEntry', OPERATORS],
  ['/spire.api.server.entry.v1.Entry/GetAuthorizedEntries', AGENTS],
  ['/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries', AGENTS],

  ['/spire.api.server.svid.v1.SVID/MintX509SVID', OPERATORS],
  ['/spire.api.server.svid.v1.SVID/MintJWTSVID', OPERATORS],
  ['/spire.api.server.svid.v1.SVID/BatchNewX509SVID', AGENTS],
  ['/spire.api.server.svid.v1.SVID/NewJWTSVID', AGENTS],
  ['/spire.api.server.svid.v1.SVID/NewDownstreamX509CA', DOWNSTREAM],

  ['/spire.api.server.localauthority.v1.LocalAuthority/GetX509AuthorityState', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/PrepareX509Authority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/ActivateX509Authority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/TaintX509Authority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/RevokeX509Authority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/TaintX509UpstreamAuthority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/RevokeX509UpstreamAuthority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/GetJWTAuthorityState', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/PrepareJWTAuthority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/ActivateJWTAuthority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/TaintJWTAuthority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/RevokeJWTAuthority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/GetWITAuthorityState', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/PrepareWITAuthority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/ActivateWITAuthority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/TaintWITAuthority', OPERATORS],
  ['/spire.api.server.localauthority.v1.LocalAuthority/RevokeWITAuthority', OPERATORS],

  ['/signet.agent.v1.AgentSync/Sync', AGENTS],
  ['/signet.revocation.v1.Revocation/RevokeX509SVID', OPERATORS],
  ['/signet.dpu.v1.DpuInventory/ImportDpus', OPERATORS],
  ['/signet.dpu.v1.DpuInventory/ListDpus', OPERATORS],
  ['/signet.dpu.v1.DpuInventory/GetDpu', OPERATORS],
  ['/signet.dpu.v1.DpuInventory/CommissionDpu', OPERATORS],
  ['/signet.dpu.v1.DpuInventory/BaselineDpu', OPERATORS],
  ['/signet.dpu.v1.DpuInventory/RetireDpu', OPERATORS],
  ['/signet.dpu.v1.DpuInventory/QuarantineDpu', OPERATORS],
  ['/signet.dpu.v1.DpuInventory/ReleaseDpu', OPERATORS],
  ['/signet.dpu.v1.DpuInventory/ConfirmHost', OPERATORS],
  ['/signet.dpu.v1.DpuInventory/AttestDpus', OPERATORS],
  ['/signet.dpu.v1.DpuInventory/GetDpuEvidence', OPERATORS],
  ['/signet.revocation.v1.Revocation/ListRevokedX509SVIDs', OPERATORS],
  ['/signet.attestation.v1.Attestation/GetAssurance', OPERATORS],
  ['/signet.rule.v1.Rule/ExplainPod', OPERATORS],
  ['/signet.rule.v1.Rule/GetEntrySources', OPERATORS],

  // Who enrols proves who it is in the call itself.
  ['/signet.connector.v1.Connector/GetChallenge', ANYONE_OVER_TCP],
  ['/signet.connector.v1.Connector/Enrol', ANYONE_OVER_TCP],
  ['/signet.connector.v1.Connector/Session', CONNECTORS],
  ['/signet.connector.v1.ConnectorAdmin/PutGroup', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/GetGroup', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/ListGroups', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/DeleteGroup', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/PutSegment', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/GetSegment', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/ListSegments', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/DeleteSegment', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/ExplainFlow', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/CreateProvisioningKey', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/ListProvisioningKeys', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/DeleteProvisioningKey', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/RegisterBoundKey', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/ListBoundKeys', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/ListDiagnostics', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/DeleteBoundKey', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/ListConnectors', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/GetConnector', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/DrainConnectors', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/ResumeConnectors', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/RevokeConnectors', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/CommandConnectors', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/DeleteConnectors', OPERATORS],
  ['/signet.connector.v1.ConnectorAdmin/WatchConnectors', OPERATORS],

  ['/signet.connector.v1.VendorKeys/GetVendorKey', CONNECTORS],
  ['/signet.connector.v1.VendorAdmin/PutVendorKey', OPERATORS],
  ['/signet.connector.v1.VendorAdmin/ListVendorKeys', OPERATORS],
  ['/signet.connector.v1.VendorAdmin/DeleteVendorKey', OPERATORS],
  ['/signet.connector.v1.VendorAdmin/GetEnrolmentRoot', OPERATORS],
  ['/signet.connector.v1.VendorAdmin/ListEnrolmentRoots', OPERATORS],
  ['/signet.connector.v1.VendorAdmin/PrepareEnrolmentRoot', OPERATORS],
  ['/signet.connector.v1.VendorAdmin/ActivateEnrolmentRoot', OPERATORS],
  ['/signet.connector.v1.VendorAdmin/SignEnrolmentCa', OPERATORS],
  ['/signet.connector.v1.VendorAdmin/ListEnrolmentCas', OPERATORS],

  // By the token that comes with the call.
  ['/istio.v1.auth.IstioCertificateService/CreateCertificate', ANYONE_OVER_TCP],

  ['/grpc.health.v1.Health/Check', LOCAL],
  ['/grpc.health.v1.Health/Watch', LOCAL],
  ['/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', LOCAL],
  ['/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', LOCAL],
]);
