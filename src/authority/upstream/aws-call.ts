import { createHash, createHmac } from 'node:crypto';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { SignatureV4 } from '@smithy/signature-v4';
import type { ErrorCode } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { AWS_CREDENTIAL_FAULTS, AWS_THROTTLE_FAULTS } from '../../keys/aws-kms/kms-faults.ts';
import { callHttp } from '../../runtime/http-call.ts';

type SignerOptions = ConstructorParameters<typeof SignatureV4>[0];

/** Where a service of AWS is, and who we are to it. */
export interface AwsPlace {
  readonly region: string;
  readonly endpoint: string;
  /** The SDK's chain (environment, profile, SSO, web identity, ECS, IMDS) unless given. */
  readonly credentials?: SignerOptions['credentials'] | undefined;
}

/** One call of a service that speaks JSON 1.1. */
export interface AwsCall {
  /** Name in signatures, such as `acm-pca`. */
  readonly service: string;
  /** Name in X-Amz-Target, such as `ACMPrivateCA.GetCertificate`. */
  readonly target: string;
  readonly body: unknown;
  readonly signal: AbortSignal;
}

/** A refusal of the service, by the name that it gives it. */
export interface AwsRefusal {
  readonly name: string;
  readonly status: number;
  /** What it says beside, quoted and cut. */
  readonly said: string;
}

/** What a call came to: the answer's JSON, or the refusal of the service. */
export type AwsAnswer =
  | { readonly kind: 'answer'; readonly value: unknown }
  | ({ readonly kind: 'refusal' } & AwsRefusal);

/** Longest answer that is read, in bytes. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/** Longest part of the service's own words that is told, in characters. */
const MAX_SAID = 300;

/** Makes calls under the credentials of the SDK's chain, which renews them by itself. */
export class AwsCaller {
  readonly #place: AwsPlace;
  readonly #credentials: SignerOptions['credentials'];

  constructor(place: AwsPlace) {
    this.#place = place;
    const { credentials, region } = place;
    this.#credentials = credentials ?? defaultProvider({ clientConfig: { region } });
  }

  /** Errors: UPSTREAM_CREDENTIALS where there are none, UPSTREAM_UNREACHABLE without an answer. */
  async call({ service, target, body, signal }: AwsCall): Promise<Result<AwsAnswer>> {
    const url = new URL(this.#place.endpoint);
    const text = JSON.stringify(body);
    const headers = await this.#sign(url, { service, target, text });
    if (!headers.ok) return headers;
    try {
      const answer = await callHttp(url, {
        method: 'POST',
        headers: headers.value,
        body: text,
        maxAnswerBytes: MAX_ANSWER_BYTES,
        signal,
      });
      const value = parseObject(answer.text);
      if (answer.status === 200 && value !== undefined) return ok({ kind: 'answer', value });
      const said = quoted(value?.message ?? value?.Message);
      return ok({ kind: 'refusal', name: nameOf(value), status: answer.status, said });
    } catch (cause) {
      return fail('UPSTREAM_UNREACHABLE', `AWS, ${target}: no answer`, { cause });
    }
  }

  async #sign(
    url: URL,
    { service, target, text }: { service: string; target: string; text: string },
  ): Promise<Result<Readonly<Record<string, string>>>> {
    const signer = new SignatureV4({
      service,
      region: this.#place.region,
      credentials: this.#credentials,
      sha256: Sha256,
    });
    try {
      const signed = await signer.sign({
        method: 'POST',
        protocol: url.protocol,
        hostname: url.hostname,
        path: '/',
        query: {},
        headers: {
          host: url.host,
          'content-type': 'application/x-amz-json-1.1',
          'x-amz-target': target,
        },
        body: text,
      });
      return ok(signed.headers);
    } catch (cause) {
      const name = cause instanceof Error ? cause.name : 'unknown error';
      return fail('UPSTREAM_CREDENTIALS', `AWS: no credentials to sign with: ${name}`, { cause });
    }
  }
}

/** The code that a refusal stands for; what has none of its own is UPSTREAM_REFUSED. */
export function awsRefusalCode({ name, status }: Pick<AwsRefusal, 'name' | 'status'>): ErrorCode {
  if (AWS_THROTTLE_FAULTS.includes(name) || status === 429) return 'UPSTREAM_THROTTLED';
  if (AWS_CREDENTIAL_FAULTS.includes(name)) return 'UPSTREAM_CREDENTIALS';
  if (name === 'AccessDeniedException') return 'UPSTREAM_PERMISSION';
  return status >= 500 ? 'UPSTREAM_UNREACHABLE' : 'UPSTREAM_REFUSED';
}

/** The name without its namespace: `com.amazonaws.acmpca#RequestInProgressException`. */
function nameOf(value: Readonly<Record<string, unknown>> | undefined): string {
  const type = value?.__type;
  const [name = ''] = typeof type === 'string' ? (type.split('#').at(-1)?.split(':') ?? []) : [];
  return /^\w{1,100}$/.test(name) ? name : 'a refusal without a name';
}

function quoted(text: unknown): string {
  return typeof text === 'string' ? JSON.stringify(text.slice(0, MAX_SAID)) : '';
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    // Any object of JSON is a record of unknown values.
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said by undefined.
  }
  return undefined;
}

/** The hash that the signer asks for: SHA-256, or its HMAC where there is a secret. */
class Sha256 {
  readonly #secret: Buffer | undefined;
  #hash: ReturnType<typeof createHash> | ReturnType<typeof createHmac>;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret = secret === undefined ? undefined : bytesOf(secret);
    this.#hash = this.#begin();
  }

  update(chunk: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(chunk));
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    this.#hash = this.#begin();
  }

  #begin() {
    return this.#secret === undefined ? createHash('sha256') : createHmac('sha256', this.#secret);
  }
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Buffer {
  if (typeof data === 'string') return Buffer.from(data, 'utf8');
  if (data instanceof ArrayBuffer) return Buffer.from(data);
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
