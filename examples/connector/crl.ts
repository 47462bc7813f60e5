import { verify, X509Certificate } from 'node:crypto';

// Node reads no CRLs; this reads what a connector needs of one (RFC 5280 §5.1).

/** 1.3.6.1.5.5.7.1.1, authority information access. */
const AUTHORITY_ACCESS = '2b06010505070101';

/** Hashes of signature algorithms, by the hex of their OID. */
const HASHES: Readonly<Record<string, string>> = {
  '2a8648ce3d040302': 'sha256', // ecdsa-with-SHA256
  '2a8648ce3d040303': 'sha384', // ecdsa-with-SHA384
  '2a864886f70d01010b': 'sha256', // sha256WithRSAEncryption
  '2a864886f70d01010c': 'sha384', // sha384WithRSAEncryption
};

interface Element {
  readonly tag: number;
  readonly content: Buffer;
  /** With tag and length. */
  readonly whole: Buffer;
}

/**
 * Serial numbers (hex, as `X509Certificate.serialNumber` shows them) that a CRL lists; undefined where it
 * is malformed or signed by neither an authority nor a signer of theirs. The signer's certificate comes
 * in the CRL itself, as a `data:` URI of its authority information access.
 */
export function readCrl(
  crl: Buffer,
  authorities: readonly X509Certificate[],
): ReadonlySet<string> | undefined {
  const [tbs, algorithm, signature] = childrenOf(elementsOf(crl)[0]);
  const hash = HASHES[childrenOf(algorithm)[0]?.content.toString('hex') ?? ''];
  if (tbs === undefined || signature === undefined || hash === undefined) return undefined;
  const bits = signature.content.subarray(1);
  const fields = childrenOf(tbs);
  const signers = [...authorities, ...signersOf(fields, authorities)];
  if (!signers.some((signer) => verify(hash, tbs.whole, signer.publicKey, bits))) return undefined;
  // version?, algorithm, issuer, thisUpdate, nextUpdate?, revokedCertificates?, extensions?: the list
  // is the only SEQUENCE behind the times.
  const times = fields.findIndex(({ tag }) => tag === 0x17 || tag === 0x18);
  const revoked = fields.slice(times).find(({ tag }) => tag === 0x30);
  return new Set(childrenOf(revoked).map((entry) => serialOf(childrenOf(entry)[0])));
}

/** An X.509-SVID is no signer: it has a name (its SPIFFE ID), which a signer has not. */
function signersOf(
  fields: readonly Element[],
  authorities: readonly X509Certificate[],
): readonly X509Certificate[] {
  const extensions = childrenOf(childrenOf(fields.find(({ tag }) => tag === 0xa0))[0]);
  const access = extensions.find(
    (extension) => childrenOf(extension)[0]?.content.toString('hex') === AUTHORITY_ACCESS,
  );
  const value = childrenOf(access).at(-1);
  return childrenOf(childrenOf(value)[0])
    .map((description) => childrenOf(description)[1]?.content.toString('latin1') ?? '')
    .flatMap((uri) => {
      const base64 = /^data:[a-z/-]+;base64,([A-Za-z0-9+/=]+)$/.exec(uri)?.[1];
      return base64 === undefined ? [] : [new X509Certificate(Buffer.from(base64, 'base64'))];
    })
    .filter((signer) => signer.subjectAltName === undefined)
    .filter((signer) =>
      authorities.some((ca) => signer.checkIssued(ca) && signer.verify(ca.publicKey)),
    );
}

function serialOf(serial: Element | undefined): string {
  return (serial?.content.toString('hex') ?? '').replace(/^(00)+/, '').toUpperCase();
}

function childrenOf(element: Element | undefined): readonly Element[] {
  return element === undefined ? [] : elementsOf(element.content);
}

/** Elements that follow each other; stops where the bytes are no DER. */
function elementsOf(bytes: Buffer): readonly Element[] {
  const found: Element[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const tag = bytes.readUInt8(at);
    const first = bytes.readUInt8(at + 1);
    const extra = first < 0x80 ? 0 : first & 0x7f;
    if (extra > 4 || (first >= 0x80 && extra === 0) || at + 2 + extra > bytes.length) break;
    const start = at + 2 + extra;
    const end = start + (extra === 0 ? first : bytes.readUIntBE(at + 2, extra));
    if (end > bytes.length) break;
    found.push({ tag, content: bytes.subarray(start, end), whole: bytes.subarray(at, end) });
    at = end;
  }
  return found;
}
