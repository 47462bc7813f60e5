import type { Registry } from '../registry/registry.ts';
import { taintedX509KeyIds } from '../spiffe/bundle.ts';
import type { ServerIdentityOptions } from './server-identity.ts';

/** When the server's own SVID does not stand any more: revoked, or by an authority that is tainted. */
export function takenBack(
  registry: Registry,
): Pick<ServerIdentityOptions, 'isTakenBack' | 'onTakenBack'> {
  return {
    isTakenBack({ serial, signerKeyIds }) {
      const { bundle, distrustedIssuingCas } = registry;
      if (registry.revocation(serial) !== undefined) return true;
      const tainted = bundle === undefined ? distrustedIssuingCas : taintedX509KeyIds(bundle);
      return signerKeyIds.some((keyId) => tainted.has(keyId) || distrustedIssuingCas.has(keyId));
    },
    onTakenBack(listener) {
      const closers = [
        registry.onBundle(listener),
        registry.onIssuingCas(listener),
        registry.onRevocations(listener),
      ];
      return () => {
        for (const close of closers) close();
      };
    },
  };
}
