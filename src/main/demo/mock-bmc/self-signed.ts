import { generateKeyPairSync, hash, sign } from 'node:crypto';
import { encodePem } from '../../../der/pem.ts';
import { derSequence, derTime, derUnsigned } from '../../../der/writer.ts';
import { derName } from '../../../x509/name-writer.ts';
import { signatureAlgorithmDer } from '../../../x509/signature.ts';
import { assembleCertificate } from '../../../x509/template.ts';

/** A key with the certificate that it signed itself, as BMCs come with, and its pin. */
export interface SelfSigned {
  readonly key: string;
  readonly cert: string;
  /** `cert-sha256:` and hexadecimal. */
  readonly pin: string;
  /** SHA-256 of its SubjectPublicKeyInfo, hexadecimal: the pin of an inventory record. */
  readonly spkiSha256: string;
}

/** Far back and far ahead: the clock of a BMC is no clock. */
const FROM_MS = Date.UTC(2020, 0, 1);
const UNTIL_MS = Date.UTC(2049, 11, 31);

/** Makes one: version 1, no extensions, nothing but a key. */
export function makeSelfSigned(commonName: string): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = signatureAlgorithmDer({ kind: 'ecdsa', hash: 'sha256' });
  const name = derName({ commonName });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const tbs = derSequence(
    derUnsigned(new Uint8Array([1])),
    algorithm,
    name,
    derSequence(derTime(FROM_MS), derTime(UNTIL_MS)),
    name,
    spki,
  );
  const der = assembleCertificate(tbs, algorithm, sign('sha256', tbs, privateKey));
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: encodePem('CERTIFICATE', der),
    pin: `cert-sha256:${hash('sha256', der, 'hex')}`,
    spkiSha256: hash('sha256', spki, 'hex'),
  };
}
