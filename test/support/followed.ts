import { toHex } from '../../src/base/bytes.ts';
import type { SignetError } from '../../src/base/errors.ts';
import type { Watch, WorkloadClient, X509Context } from '../../src/client/index.ts';
import { TRUST_DOMAIN } from './server.ts';

/** What one open Workload API stream brought, and whether it ever ended. */
export class Followed {
  readonly errors: SignetError[] = [];
  readonly #watch: Watch;
  #latest: X509Context | undefined;
  #waiting: (() => void)[] = [];

  constructor(client: WorkloadClient) {
    this.#watch = client.watchX509Context({
      onUpdate: (context) => {
        this.#latest = context;
        for (const resolve of this.#waiting.splice(0)) resolve();
      },
      onError: (error) => this.errors.push(error),
    });
  }

  close(): void {
    this.#watch.close();
  }

  /** The first state, from now on, that the test waits for. */
  async until(wanted: (context: X509Context) => boolean): Promise<X509Context> {
    for (;;) {
      if (this.#latest !== undefined && wanted(this.#latest)) return this.#latest;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

/** Hex key identifier of the authority that the chain of the SVID leads to. */
export function signerOf({ svids: [svid] }: X509Context): string {
  return toHex(svid.chain.at(-1)?.authorityKeyId ?? Buffer.alloc(0));
}

/** Hex key identifiers of the roots of the trust domain. */
export function rootsOf(context: X509Context): readonly string[] {
  const { x509Authorities = [] } = context.bundles.get(TRUST_DOMAIN) ?? {};
  return x509Authorities.map(({ certificate }) =>
    toHex(certificate.subjectKeyId ?? Buffer.alloc(0)),
  );
}
