import { type BundleMask, Bundle as WireBundle } from '../../gen/spire/api/types/bundle.ts';
import { Encoded } from '../../rpc/service.ts';
import type { Bundle } from '../../spiffe/bundle.ts';
import { maskBundle } from './masks.ts';

const wholeBundles = new WeakMap<Bundle, WireBundle>();
const encodedBundles = new WeakMap<Bundle, Encoded>();

/** A bundle in its wire form, whole; the same object for the same bundle. */
export function toWireBundle(bundle: Bundle): WireBundle {
  const known = wholeBundles.get(bundle);
  if (known !== undefined) return known;
  const message: WireBundle = {
    trustDomain: bundle.trustDomain.name,
    x509Authorities: bundle.x509Authorities.map(({ certificate, tainted }) => ({
      asn1: Buffer.from(certificate.der),
      tainted,
    })),
    jwtAuthorities: bundle.jwtAuthorities.map((key) => ({
      publicKey: Buffer.from(key.publicKeySpki),
      keyId: key.keyId,
      expiresAt: BigInt(key.expiresAtSeconds),
      tainted: key.tainted,
    })),
    refreshHint: BigInt(bundle.refreshHintSeconds),
    sequenceNumber: bundle.sequence,
    witAuthorities: [],
  };
  wholeBundles.set(bundle, message);
  return message;
}

/** The answer of GetBundle. Polling agents ask for it whole every five seconds: encoded once. */
export function answerBundle(bundle: Bundle, mask: BundleMask | undefined): WireBundle | Encoded {
  if (mask !== undefined) return maskBundle(toWireBundle(bundle), mask);
  const known = encodedBundles.get(bundle);
  if (known !== undefined) return known;
  const encoded = new Encoded(Buffer.from(WireBundle.encode(toWireBundle(bundle)).finish()));
  encodedBundles.set(bundle, encoded);
  return encoded;
}
