import { z } from 'zod';
import type { Clock } from '../../base/clock.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { encodePem } from '../../der/pem.ts';
import { AwsCaller, type AwsPlace, awsRefusalCode } from './aws-call.ts';
import type { CaArn } from './ca-arn.ts';
import { oneAttempt, pause } from './one-attempt.ts';
import { readPemAnswer, trustOfFile } from './pem-answer.ts';
import type { CertifyOrder, UpstreamAnswer, UpstreamAuthority } from './upstream.ts';

/** A CA of AWS Private CA. */
export interface AwsPcaUpstreamOptions {
  /** ARN of the CA that signs; it names partition and region. */
  readonly certificateAuthorityArn: CaArn;
  /** Longest path of CAs below ours, 0 to 3. */
  readonly pathLength: number;
  /** Another template than the blank one for subordinate CAs of that path length. */
  readonly templateArn: string | undefined;
  /** Such as `SHA256WITHECDSA`; what the CA was made with unless given. */
  readonly signingAlgorithm: string | undefined;
  /** AWS's own unless given. */
  readonly endpoint: string | undefined;
  readonly credentials?: AwsPlace['credentials'];
  /** PEM: the roots; what ends the chain of an answer unless given. */
  readonly bundlePath: string | undefined;
  readonly clock: Clock;
}

/** How often the file of roots is read, in milliseconds. */
const POLL_MS = 5000;
/** The API's own waiter looks once a second, and for a minute. */
const LOOK_EVERY_MS = 1000;
const LOOKS = 60;

const describedSchema = z.object({
  CertificateAuthority: z.object({
    CertificateAuthorityConfiguration: z.object({ SigningAlgorithm: z.string() }),
  }),
});
const issuedSchema = z.object({ CertificateArn: z.string() });
const certificateSchema = z.object({
  Certificate: z.string(),
  CertificateChain: z.string().default(''),
});

/**
 * AWS Private CA as upstream: it issues by a template for subordinate CAs, and the certificate is
 * fetched when it is there. JWT keys stay with each server.
 */
export function createAwsPcaUpstream(options: AwsPcaUpstreamOptions): UpstreamAuthority {
  return new AwsPcaUpstream(options);
}

class AwsPcaUpstream implements UpstreamAuthority {
  readonly name = 'aws-pca';
  readonly pollMs = POLL_MS;
  readonly #options: AwsPcaUpstreamOptions;
  readonly #caller: AwsCaller;
  #algorithm: string | undefined;
  #closed = false;

  constructor(options: AwsPcaUpstreamOptions) {
    this.#options = options;
    const {
      certificateAuthorityArn,
      credentials,
      endpoint = ownEndpoint(certificateAuthorityArn),
    } = options;
    const { region } = certificateAuthorityArn;
    this.#caller = new AwsCaller({ region, endpoint, credentials });
    this.#algorithm = options.signingAlgorithm;
  }

  async certify(order: CertifyOrder): Promise<Result<UpstreamAnswer>> {
    const algorithm = await this.#signingAlgorithm();
    if (!algorithm.ok) return algorithm;
    const issued = await this.#call('IssueCertificate', this.#request(order, algorithm.value));
    if (!issued.ok) return issued;
    const named = read(issuedSchema, issued.value);
    return named.ok ? this.#fetch(named.value.CertificateArn) : named;
  }

  trusted() {
    return trustOfFile(this.#options.bundlePath);
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #request({ csr, ttlSeconds }: CertifyOrder, algorithm: string): object {
    const { certificateAuthorityArn: arn, pathLength, clock, templateArn } = this.#options;
    const blank = `BlankSubordinateCACertificate_PathLen${pathLength}_APICSRPassthrough/V1`;
    const template = templateArn ?? `arn:${arn.partition}:acm-pca:::template/${blank}`;
    // The usual templates add digitalSignature, a usage of leaves (X509-14); the blank ones take ours.
    const usage = { Extensions: { KeyUsage: { KeyCertSign: true, CRLSign: true } } };
    return {
      CertificateAuthorityArn: arn.text,
      Csr: Buffer.from(encodePem('CERTIFICATE REQUEST', csr)).toString('base64'),
      SigningAlgorithm: algorithm,
      TemplateArn: template,
      Validity: { Type: 'ABSOLUTE', Value: Math.floor(clock.nowMs() / 1000) + ttlSeconds },
      ...(/_API(CSR)?Passthrough\//.test(template) ? { ApiPassthrough: usage } : {}),
    };
  }

  async #signingAlgorithm(): Promise<Result<string>> {
    if (this.#algorithm !== undefined) return ok(this.#algorithm);
    const described = await this.#call('DescribeCertificateAuthority', this.#ofCa());
    if (!described.ok) return described;
    const shape = read(describedSchema, described.value);
    if (!shape.ok) return shape;
    const { CertificateAuthorityConfiguration } = shape.value.CertificateAuthority;
    this.#algorithm = CertificateAuthorityConfiguration.SigningAlgorithm;
    return ok(this.#algorithm);
  }

  /** Issuing takes seconds: the certificate is asked for until it is there. */
  async #fetch(certificateArn: string): Promise<Result<UpstreamAnswer>> {
    const { clock, bundlePath } = this.#options;
    for (let looks = 0; looks < LOOKS && !this.#closed; looks++) {
      const body = { ...this.#ofCa(), CertificateArn: certificateArn };
      const fetched = await this.#call('GetCertificate', body, 'RequestInProgressException');
      if (!fetched.ok) return fetched;
      if (fetched.value !== undefined) {
        const shape = read(certificateSchema, fetched.value);
        if (!shape.ok) return shape;
        const { Certificate: certificate, CertificateChain: above } = shape.value;
        return readPemAnswer({ certificate, above: [above] }, bundlePath);
      }
      await pause(clock, LOOK_EVERY_MS);
    }
    return fail('UPSTREAM_PENDING', `AWS Private CA has not issued ${certificateArn} in time`);
  }

  #ofCa(): object {
    return { CertificateAuthorityArn: this.#options.certificateAuthorityArn.text };
  }

  /** The answer; undefined for a refusal of the name that only means to wait. */
  #call(operation: string, body: object, waiting?: string): Promise<Result<unknown>> {
    return oneAttempt(this.#options.clock, `AWS Private CA, ${operation}`, async (signal) => {
      const target = `ACMPrivateCA.${operation}`;
      const answer = await this.#caller.call({ service: 'acm-pca', target, body, signal });
      if (!answer.ok) return answer;
      if (answer.value.kind === 'answer') return ok(answer.value.value);
      const { name, status, said } = answer.value;
      if (name === waiting) return ok(undefined);
      const code = awsRefusalCode(answer.value);
      return fail(code, `AWS Private CA, ${operation}: ${name}, status ${status} ${said}`);
    });
  }
}

function read<S extends z.ZodType>(schema: S, value: unknown): Result<z.output<S>> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return ok(parsed.data);
  return fail('UPSTREAM_ANSWER_INVALID', 'AWS Private CA: not the answer that was expected');
}

function ownEndpoint({ partition, region }: CaArn): string {
  return `https://acm-pca.${region}.amazonaws.com${partition === 'aws-cn' ? '.cn' : ''}`;
}
