import { createPublicKey, type KeyObject, sign } from 'node:crypto';

// Node makes no certificate requests, so this writes the few bytes of PKCS #10 (RFC 2986 §4) that the
// protocol asks for: no subject, no attributes, a P-256 key.

/** 1.2.840.10045.4.3.2, ecdsa-with-SHA256 (RFC 5758 §3.2). */
const ECDSA_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex');

/** SubjectPublicKeyInfo, DER. */
export function publicKeyOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' });
}

/** A certificate request, DER, for a P-256 key. */
export function makeCsr(key: KeyObject): Buffer {
  const version = der(0x02, Buffer.from([0]));
  const noName = der(0x30);
  const noAttributes = der(0xa0);
  const asked = der(0x30, version, noName, publicKeyOf(key), noAttributes);
  const signature = sign('sha256', asked, key);
  return der(0x30, asked, ECDSA_SHA256, der(0x03, Buffer.from([0]), signature));
}

/** One element: tag, length, content. */
function der(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  return Buffer.concat([Buffer.from([tag, ...lengthOf(body.length)]), body]);
}

function lengthOf(bytes: number): readonly number[] {
  if (bytes < 0x80) return [bytes];
  return bytes < 0x100 ? [0x81, bytes] : [0x82, bytes >> 8, bytes & 0xff];
}
