import { unwrap } from '../../src/base/result.ts';
import { type EnrolmentCa, VendorAdminService } from '../../src/gen/signet/connector/v1/vendor.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import type { Certificate } from '../../src/x509/types.ts';
import { ask, type TestServer } from './server.ts';
import { makeCertificate, makeCsr, makeKey, type TestCertificate, type TestKey } from './x509.ts';

/** What a vendor has: the key of its enrolment CA, and the certificate that our root gave it. */
export interface Vendor {
  readonly key: TestKey;
  readonly ca: Certificate;
  readonly root: Certificate;
  readonly answer: EnrolmentCa;
  /** What the vendor may sign, whatever it asks for. */
  sign(options: Parameters<typeof makeCertificate>[0]): TestCertificate;
}

/** A subject as a portal writes it. */
export const VENDOR_SUBJECT = { organization: 'Example', commonName: 'ZPA Connector CA' };

/** Has a server with an enrolment root sign the CA of a vendor. */
export async function makeVendor(server: TestServer, vendor = 'zpa'): Promise<Vendor> {
  const key = makeKey('rsa-2048');
  const csr = Buffer.from(makeCsr({ key, subject: VENDOR_SUBJECT }));
  const request = { csr, vendor, ttlSeconds: 0 };
  const answer = await ask(server.admin(), VendorAdminService.signEnrolmentCa, request);
  const [ca, root] = answer.chain.map((der) => unwrap(parseCertificate(der)));
  if (ca === undefined || root === undefined) throw new TypeError('no chain');
  return { key, ca, root, answer, sign: (options) => signBelow(key, ca, options) };
}

/** A certificate that the holder of a CA's key signs. */
export function signBelow(
  key: TestKey,
  ca: Certificate,
  options: Parameters<typeof makeCertificate>[0] = {},
): TestCertificate {
  const { der, subjectDer, subjectKeyId: keyId = new Uint8Array() } = ca;
  const issuer = { der, pem: '', key, subjectDer, keyId, certificate: ca };
  return makeCertificate({ issuer, ...options });
}
