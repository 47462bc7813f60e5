import type { RequestObjects } from '../../src/authority/upstream/cert-manager.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import type { KubeName, KubeResource } from '../../src/kube/resource.ts';
import { FakeCa } from './fake-ca.ts';

/** What a CertificateRequest of the fake looks like; what a controller wrote stands in its status. */
export interface FakeRequest {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly request: string;
    readonly isCA: boolean;
    readonly usages: readonly string[];
    readonly duration: string;
    readonly issuerRef: object;
  };
  status?: object;
}

/** Conditions of a request that is signed, as cert-manager writes them. */
export const SIGNED = [
  { type: 'Approved', status: 'True', reason: 'cert-manager.io', message: 'approved' },
  { type: 'Ready', status: 'True', reason: 'Issued', message: 'signed' },
];

/** Signs a request: the status that an issuer writes. */
export function signedStatus(ca: FakeCa, { spec }: FakeRequest): object {
  const csr = Buffer.from(spec.request, 'base64').toString();
  const seconds = Number(/^(\d+)(?:h0m0)?s$/.exec(spec.duration)?.[1] ?? 86_400);
  const { certificate, above } = ca.sign(csr, Date.now() + seconds * 1000);
  const root = above.at(-1) ?? '';
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return {
    conditions: SIGNED,
    certificate: base64([certificate, ...above.slice(0, -1)].join('')),
    ...(root === '' ? {} : { ca: base64(root) }),
  };
}

/**
 * A fake of the API server's objects with an issuer of cert-manager behind it, in memory: how the
 * upstream takes what a controller may write is tried here, and on a real API server in test/peers.
 */
export class FakeCertManager implements RequestObjects {
  readonly ca = new FakeCa();
  readonly requests = new Map<string, FakeRequest>();
  readonly namespaces = new Set<string>();
  /** Calls so far, such as `create`. */
  readonly calls: string[] = [];
  /** The status that a look at a request finds; an issuer that signs at once unless set. */
  answer: (request: FakeRequest, looks: number) => object | undefined = (request) =>
    request.status ?? signedStatus(this.ca, request);
  /** What a call is refused with; undefined serves it. */
  decide: (call: string) => Result<never> | undefined = () => undefined;
  #looks = 0;

  async create({ namespace }: KubeResource, body: object): Promise<Result<KubeObject>> {
    this.calls.push('create');
    this.namespaces.add(namespace ?? '');
    const refused = this.decide('create');
    if (refused !== undefined) return refused;
    // It is what the upstream made.
    const request = body as FakeRequest;
    const { name } = request.metadata;
    if (this.requests.has(name)) return fail('KUBE_CONFLICT', 'it exists already');
    this.requests.set(name, request);
    this.#looks = 0;
    return ok({ ...request });
  }

  async read({ name }: KubeName): Promise<Result<KubeObject>> {
    this.calls.push('read');
    const refused = this.decide('read');
    if (refused !== undefined) return refused;
    const request = this.requests.get(name);
    if (request === undefined) return fail('KUBE_NOT_FOUND', 'there is none');
    this.#looks += 1;
    const status = this.answer(request, this.#looks);
    if (status !== undefined) request.status = status;
    return ok({ ...request });
  }

  async remove({ name }: KubeName): Promise<Result<void>> {
    this.calls.push('remove');
    const refused = this.decide('remove');
    if (refused !== undefined) return refused;
    return this.requests.delete(name) ? ok(undefined) : fail('KUBE_NOT_FOUND', 'there is none');
  }
}
