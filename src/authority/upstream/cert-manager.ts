import { hash } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import type { KubeObjects } from '../../kube/kube-objects.ts';
import type { KubeName } from '../../kube/resource.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import {
  certificateRequestOf,
  type IssuerRef,
  isSameRequest,
  progressOf,
  readCertificateRequest,
} from './certificate-request.ts';
import { oneAttempt, pause } from './one-attempt.ts';
import { type PemAnswer, readPemAnswer, trustOfFile } from './pem-answer.ts';
import type { CertifyOrder, UpstreamAnswer, UpstreamAuthority } from './upstream.ts';

/** What the upstream does with objects of a cluster. */
export type RequestObjects = Pick<KubeObjects, 'create' | 'read' | 'remove'>;

/** An issuer of cert-manager. */
export interface CertManagerUpstreamOptions {
  readonly trustDomain: TrustDomain;
  /** Opens the way to the cluster; called for each certificate, so that files may change. */
  readonly open: () => Promise<Result<RequestObjects>>;
  /** Where requests are made. */
  readonly namespace: string;
  readonly issuerRef: IssuerRef;
  /** PEM: the roots; what ends the chain of an answer unless given. */
  readonly bundlePath: string | undefined;
  readonly clock: Clock;
}

/** How often the file of roots is read, in milliseconds. */
const POLL_MS = 5000;
/** How often a request is looked at, and for how long. */
const LOOK_EVERY_MS = 500;
const LOOKS = 120;

const CODES: Partial<Readonly<Record<ErrorCode, ErrorCode>>> = {
  KUBE_CONFIG: 'UPSTREAM_SETTINGS',
  KUBE_UNREACHABLE: 'UPSTREAM_UNREACHABLE',
  KUBE_CREDENTIALS: 'UPSTREAM_CREDENTIALS',
  KUBE_FORBIDDEN: 'UPSTREAM_PERMISSION',
  KUBE_NOT_FOUND: 'UPSTREAM_REFUSED',
  KUBE_CONFLICT: 'UPSTREAM_REFUSED',
  KUBE_REFUSED: 'UPSTREAM_REFUSED',
};

/**
 * An issuer of cert-manager as upstream: a CertificateRequest for a CA, which is waited for and then
 * deleted. It is named after the key, so that a request that still waits for its approval is found
 * again by the next try, or by the next start. JWT keys stay with each server.
 */
export function createCertManagerUpstream(options: CertManagerUpstreamOptions): UpstreamAuthority {
  return new CertManagerUpstream(options);
}

class CertManagerUpstream implements UpstreamAuthority {
  readonly name = 'cert-manager';
  readonly pollMs = POLL_MS;
  readonly #options: CertManagerUpstreamOptions;
  #closed = false;

  constructor(options: CertManagerUpstreamOptions) {
    this.#options = options;
  }

  async certify(order: CertifyOrder): Promise<Result<UpstreamAnswer>> {
    const { open, namespace, bundlePath } = this.#options;
    const kube = await open();
    if (!kube.ok) return upstreamError(kube);
    const name: KubeName = {
      group: 'cert-manager.io',
      version: 'v1',
      plural: 'certificaterequests',
      namespace,
      name: `signet-ca-${hash('sha256', order.spki).slice(0, 24)}`,
    };
    const asked = await this.#ask(kube.value, name, order);
    if (!asked.ok) return asked;
    const signed = await this.#wait(kube.value, name);
    if (!signed.ok) return signed;
    const answer = await readPemAnswer(signed.value, bundlePath);
    // What is left behind does no harm: the next request of this key would replace it.
    await this.#attempt('deleting', (signal) => kube.value.remove(name, signal));
    return answer;
  }

  trusted() {
    return trustOfFile(this.#options.bundlePath);
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  /** Makes the request, unless the same one waits already; one that is over makes place. */
  async #ask(kube: RequestObjects, name: KubeName, order: CertifyOrder): Promise<Result<void>> {
    const { issuerRef, trustDomain } = this.#options;
    const body = certificateRequestOf(name.name, order, {
      issuerRef,
      trustDomain: trustDomain.name,
    });
    const create = () => this.#attempt('creating', (signal) => kube.create(name, body, signal));
    const made = await create();
    if (made.ok) return ok(undefined);
    if (made.error.code !== 'KUBE_CONFLICT') return upstreamError(made);
    const found = await this.#attempt('reading', (signal) => kube.read(name, signal));
    if (!found.ok) return upstreamError(found);
    const there = readCertificateRequest(found.value);
    const same = there.ok && isSameRequest(there.value, order, issuerRef);
    if (same && progressOf(there.value).kind === 'waiting') return ok(undefined);
    const removed = await this.#attempt('deleting', (signal) => kube.remove(name, signal));
    if (!removed.ok && removed.error.code !== 'KUBE_NOT_FOUND') return upstreamError(removed);
    const again = await create();
    return again.ok ? ok(undefined) : upstreamError(again);
  }

  async #wait(kube: RequestObjects, name: KubeName): Promise<Result<PemAnswer>> {
    const { clock, namespace } = this.#options;
    const shown = `CertificateRequest ${namespace}/${name.name}`;
    let why = 'it was not looked at';
    for (let looks = 0; looks < LOOKS && !this.#closed; looks++) {
      const read = await this.#attempt('reading', (signal) => kube.read(name, signal));
      if (!read.ok) return upstreamError(read);
      const request = readCertificateRequest(read.value);
      if (!request.ok) return request;
      const progress = progressOf(request.value);
      if (progress.kind === 'signed') return ok(progress.answer);
      ({ why } = progress);
      if (progress.kind === 'refused') return fail('UPSTREAM_REFUSED', `${shown}: ${why}`);
      await pause(clock, LOOK_EVERY_MS);
    }
    return fail('UPSTREAM_PENDING', `${shown}: ${why}`);
  }

  #attempt(doing: string, call: (signal: AbortSignal) => Promise<Result<unknown>>) {
    return oneAttempt(this.#options.clock, `cert-manager, ${doing} the request`, call);
  }
}

function upstreamError({ error }: Failed): Failed {
  const { code, message } = error;
  return fail(CODES[code] ?? code, `cert-manager: ${message}`, { cause: error });
}
