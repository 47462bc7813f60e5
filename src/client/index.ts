/** The SPIFFE Workload API client for Node.js workloads: `import … from 'signet/client'`. */
export {
  findWorkloadAddress,
  formatWorkloadAddress,
  parseWorkloadAddress,
  type WorkloadAddress,
} from './address.ts';
export type { ContextCrls, UnknownRevocation } from './context-crls.ts';
export type { Watch, WatchHandlers } from './stream-watch.ts';
export {
  type Authorize,
  authorizeIds,
  authorizeMemberOf,
  createMtlsServer,
  type MtlsServerHandlers,
  type PeerTrust,
  tlsClientOptions,
  tlsServerOptions,
  verifyPeer,
} from './tls.ts';
export {
  type ValidatedToken,
  WorkloadClient,
  type WorkloadClientOptions,
  type WorkloadJwtSvid,
} from './workload-client.ts';
export { bundlesOf, type WorkloadX509Svid, type X509Context } from './x509-context.ts';
export { X509Source } from './x509-source.ts';
