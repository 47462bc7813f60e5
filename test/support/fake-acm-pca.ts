import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { FakeCa } from './fake-ca.ts';

/** What the fake does with a call in place of serving it. */
export type PcaFault =
  | { readonly status: number; readonly name: string; readonly message?: string }
  | { readonly status: number; readonly text: string }
  | 'reset';

/** A call that came. */
export interface PcaCall {
  readonly operation: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * A fake of AWS Private CA, written after its public API reference: no real one could be had. It
 * knows the three calls that the upstream makes, and issues after a number of looks.
 */
export interface FakeAcmPca {
  readonly address: string;
  readonly ca: FakeCa;
  readonly calls: PcaCall[];
  /** How often GetCertificate says that the request is in progress. */
  looksBefore: number;
  decide: (operation: string) => PcaFault | undefined;
  close(): Promise<void>;
}

/** ARN of the CA that the fake has. */
export const FAKE_CA_ARN =
  'arn:aws:acm-pca:eu-central-1:123456789012:certificate-authority/12345678-1234-1234-1234-123456789012';

type Fake = Omit<FakeAcmPca, 'address' | 'close'>;
type Refusal = { readonly name: string };

interface Issued {
  readonly certificate: string;
  readonly chain: string;
  looks: number;
}

/** Starts the fake on loopback. */
export async function startFakeAcmPca(): Promise<FakeAcmPca> {
  const fake: Fake = { ca: new FakeCa(), calls: [], looksBefore: 0, decide: () => undefined };
  const issued = new Map<string, Issued>();
  const server = createServer(async (request, answer) => {
    const operation = String(request.headers['x-amz-target']).replace('ACMPrivateCA.', '');
    const body = JSON.parse(Buffer.concat(await request.toArray()).toString());
    fake.calls.push({ operation, headers: request.headers, body });
    const fault = fake.decide(operation);
    if (fault === 'reset') return void request.socket.destroy();
    if (fault !== undefined && 'text' in fault) {
      answer.writeHead(fault.status).end(fault.text);
      return;
    }
    const done = fault ?? serve(fake, issued, operation, body);
    if ('name' in done) {
      const {
        name,
        message = 'by the fake',
        status = 400,
      } = done as Refusal & {
        message?: string;
        status?: number;
      };
      reply(answer, status, { __type: `com.amazonaws.acmpca#${name}`, message });
    } else reply(answer, 200, done);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return Object.assign(fake, {
    address: `http://127.0.0.1:${port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  });
}

function reply(answer: ServerResponse, status: number, body: unknown): void {
  answer.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
  answer.end(JSON.stringify(body));
}

function serve(
  fake: Fake,
  issued: Map<string, Issued>,
  operation: string,
  body: PcaCall['body'],
): object | Refusal {
  if (body.CertificateAuthorityArn !== FAKE_CA_ARN) return { name: 'ResourceNotFoundException' };
  if (operation === 'DescribeCertificateAuthority') {
    const CertificateAuthorityConfiguration = { SigningAlgorithm: 'SHA256WITHECDSA' };
    return { CertificateAuthority: { CertificateAuthorityConfiguration, Status: 'ACTIVE' } };
  }
  if (operation === 'IssueCertificate') return issue(fake, issued, body);
  const found = issued.get(String(body.CertificateArn));
  if (found === undefined) return { name: 'ResourceNotFoundException' };
  found.looks += 1;
  if (found.looks <= fake.looksBefore) return { name: 'RequestInProgressException' };
  return { Certificate: found.certificate, CertificateChain: found.chain };
}

function issue(fake: Fake, issued: Map<string, Issued>, body: PcaCall['body']): object | Refusal {
  const { Csr, SigningAlgorithm, Validity, TemplateArn, ApiPassthrough } = body;
  const validity = Validity as { Type?: unknown; Value?: unknown } | undefined;
  if (SigningAlgorithm !== 'SHA256WITHECDSA') return { name: 'InvalidArgsException' };
  if (validity?.Type !== 'ABSOLUTE') return { name: 'InvalidArgsException' };
  // A blank template has the usages that the call passes, and a usual one those of its own.
  const blank = String(TemplateArn).includes('/BlankSubordinateCACertificate_PathLen');
  const usage = JSON.stringify(ApiPassthrough);
  const asked = '{"Extensions":{"KeyUsage":{"KeyCertSign":true,"CRLSign":true}}}';
  if (blank && usage !== asked) return { name: 'InvalidArgsException' };
  const pem = Buffer.from(String(Csr), 'base64').toString();
  const { spoil } = fake.ca;
  if (!blank) {
    fake.ca.spoil = (right) => ({
      ...right,
      keyUsage: ['digitalSignature', 'keyCertSign', 'crlSign'],
    });
  }
  const { certificate, above } = fake.ca.sign(pem, Number(validity.Value) * 1000);
  fake.ca.spoil = spoil;
  const arn = `${FAKE_CA_ARN}/certificate/${fake.ca.issued}`;
  issued.set(arn, { certificate, chain: above.join('\n'), looks: 0 });
  return { CertificateArn: arn };
}
