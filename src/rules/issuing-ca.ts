import type { Certificate } from '../x509/types.ts';

/**
 * States of an issuing CA, in the only order in which it goes through them.
 *
 * `issuing`: signs SVIDs on its server. Entered when it was made; left when the next one was.
 * `old`: signs no more, and what it signed is alive.
 * `tainted`: agents renew what it signed, and its server makes another. By hand, from the two above.
 * `revoked`: on the CRL, and nobody to servers with what it signed. By hand, from `tainted`.
 *
 * A killed server leaves its CA at `issuing`; its next start makes it `old`.
 */
export const ISSUING_CA_STATES = ['issuing', 'old', 'tainted', 'revoked'] as const;

/** Where in its life an issuing CA is. */
export type IssuingCaState = (typeof ISSUING_CA_STATES)[number];

/** A CA that a server holds in its memory below a root, as all servers know it. */
export interface IssuingCa {
  /** Hex of its subject key identifier. */
  readonly authorityId: string;
  readonly certificate: Certificate;
  /** Name of the machine whose server made it; for people. */
  readonly server: string;
  readonly state: IssuingCaState;
  /** Unix seconds at which it entered the state. */
  readonly sinceSeconds: number;
}

/** Whether an issuing CA is nobody's to rely on any more: what it signed is to be renewed. */
export function isDistrusted({ state }: Pick<IssuingCa, 'state'>): boolean {
  return state === 'tainted' || state === 'revoked';
}
