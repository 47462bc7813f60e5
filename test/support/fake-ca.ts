import { unwrap } from '../../src/base/result.ts';
import { parsePem } from '../../src/der/pem.ts';
import { parseCsr } from '../../src/x509/csr.ts';
import {
  makeCertificate,
  makeIntermediate,
  makeRoot,
  type TestCertificate,
  type TestCertificateOptions,
} from './x509.ts';

/** What a fake CA issued, in PEM. */
export interface FakeIssued {
  readonly certificate: string;
  /** The CA that signed, then those above it; the root last. */
  readonly above: readonly string[];
}

/** How the answer of a fake CA is made wrong: it gets what would be right. */
export type Spoil = (options: TestCertificateOptions) => TestCertificateOptions;

/** A CA behind a fake of somebody's API: it certifies what it is asked to, unless it is spoiled. */
export class FakeCa {
  root: TestCertificate = makeRoot('example.org', { uris: [] });
  issuer: TestCertificate = makeIntermediate(this.root);
  spoil: Spoil = (options) => options;
  /** What comes with the certificate; the issuer and the root unless set. */
  above: readonly TestCertificate[] | undefined;
  issued = 0;

  /** @param csrPem A PKCS#10 request. */
  sign(csrPem: string, endsMs: number): FakeIssued {
    const [block] = unwrap(parsePem(csrPem));
    const csr = unwrap(parseCsr(block?.der ?? Buffer.alloc(0)));
    const { publicKey } = csr;
    const key = { ...this.issuer.key, publicKey, spki: publicKey.spki };
    this.issued += 1;
    const made = makeCertificate(
      this.spoil({
        issuer: this.issuer,
        ca: true,
        key,
        subject: csr.subjectDer,
        uris: csr.requestedUris,
        dnsNames: csr.requestedDnsNames,
        notBeforeMs: Math.floor(Date.now() / 1000) * 1000 - 60_000,
        notAfterMs: Math.floor(endsMs / 1000) * 1000,
      }),
    );
    const above = this.above ?? [this.issuer, this.root];
    return { certificate: made.pem, above: above.map(({ pem }) => pem) };
  }
}
