import type { TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { ok, unwrap } from '../../src/base/result.ts';
import { SpiffeWorkloadAPIService } from '../../src/gen/workload.ts';
import type { RpcHost } from '../../src/rpc/host.ts';
import { emptyBundle, withX509Authority } from '../../src/spiffe/bundle.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import type { ChainValidator, TlsIdentity } from '../../src/tls/identity.ts';
import { listenTls, type TlsListener, type TlsListenerOptions } from '../../src/tls/listener.ts';
import { createSvidValidator } from '../../src/tls/validator.ts';
import { testHost, workloadHandlers } from './rpc.ts';
import { makeLeaf, makeRoot, type TestCertificate } from './x509.ts';

/** A leaf with its chain and key as TLS takes them. */
export function tlsIdentity(
  leaf: TestCertificate,
  ...intermediates: readonly TestCertificate[]
): TlsIdentity {
  return {
    chainDer: [leaf, ...intermediates].map(({ der }) => der),
    privateKeyPkcs8: leaf.key.privateKey.export({ type: 'pkcs8', format: 'der' }),
  };
}

/** Validates against one root of `example.org`, at today's time. */
export function validatorFor(root: TestCertificate): ChainValidator {
  const trustDomain = unwrap(parseTrustDomain('example.org'));
  const authority = { certificate: root.certificate, tainted: false };
  const bundle = withX509Authority(emptyBundle(trustDomain), authority);
  return createSvidValidator({
    bundles: (asked) => (asked.name === trustDomain.name ? bundle : undefined),
    clock: systemClock,
  });
}

/** A server's port with a Workload API that answers who calls. */
export interface TestTlsServer {
  readonly root: TestCertificate;
  readonly host: RpcHost;
  readonly listener: TlsListener;
}

/** Opens a port on loopback until the test ends. */
export async function serveTls(
  context: TestContext,
  options: Partial<TlsListenerOptions> = {},
  host: RpcHost = testHost(),
): Promise<TestTlsServer> {
  const root = makeRoot();
  host.addService(
    SpiffeWorkloadAPIService,
    workloadHandlers({
      fetchJwtsvid: (_, { connection: { id, peer } }) => {
        const spiffeId = peer.kind === 'svid' ? peer.id.uri : peer.kind;
        return ok({ svids: [{ spiffeId, svid: id, hint: '' }] });
      },
    }),
  );
  const listener = unwrap(
    await listenTls(
      {
        address: '127.0.0.1',
        port: 0,
        minTlsVersion: '1.3',
        identity: tlsIdentity(makeLeaf(root, 'spiffe://example.org/spire/server')),
        validateClient: validatorFor(root),
        maxConnectionAgeMs: 0,
        random: seededRandom(1),
        ...options,
      },
      host,
    ),
  );
  context.after(async () => {
    await listener.close();
    await host.shutdown(0);
  });
  return { root, host, listener };
}
