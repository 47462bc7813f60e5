import type { SignetError } from '../base/errors.ts';
import type { Result } from '../base/result.ts';
import type { ChannelSettings, RpcChannel } from '../rpc/channel.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { ChainValidator, TlsIdentity } from './identity.ts';

/** How the server is recognised. */
export type ServerVerification =
  | {
      readonly kind: 'spiffe';
      /** `spiffe://<td>/spire/server`. */
      readonly expectedId: SpiffeId;
      /** Judges the chain against the bundle at hand. */
      readonly validate: ChainValidator;
    }
  /** Accepts anyone: for `bootstrap.insecure`, once, by the operator's explicit choice. */
  | { readonly kind: 'insecure-bootstrap' };

/** A channel from an agent to its server. */
export interface ServerChannelOptions {
  readonly host: string;
  readonly port: number;
  readonly verification: ServerVerification;
  /** The agent's own SVID; none before attestation. */
  readonly identity?: TlsIdentity;
  /** Told why a server was refused; calls only see that it is unreachable. */
  readonly onRefused?: (error: SignetError) => void;
  readonly settings?: ChannelSettings;
}

/**
 * Opens a channel to the server's port. One channel for each version of the SVID and bundle: open a
 * new one and close the old one when either changes; no TLS session is kept or shared.
 */
export declare function openServerChannel(options: ServerChannelOptions): Result<RpcChannel>;
