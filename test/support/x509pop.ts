import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createX509PopAttestor as createAgentHalf } from '../../agent/attestation/x509pop/agent.ts';
import { parsePathTemplate } from '../../src/attestation/path-template.ts';
import {
  createX509PopAttestor,
  X509POP_VALUES,
  type X509PopTrust,
} from '../../src/attestation/x509pop/server.ts';
import { systemRandom } from '../../src/base/random.ts';
import type { Bundle } from '../../src/spiffe/bundle.ts';
import { emptyBundle } from '../../src/spiffe/bundle.ts';
import { AGENT_TEST_DOMAIN } from './agent-ca.ts';
import { type AttestorRig, testRequest } from './attestor-suite.ts';
import { assertValue } from './refused.ts';
import { testFolder } from './workload-api.ts';
import {
  makeCertificate,
  makeIntermediate,
  makeRoot,
  type TestCertificate,
  type TestKey,
} from './x509.ts';

/** What a rig may be given in place of the usual. */
export interface X509PopRigOptions {
  readonly key?: TestKey;
  readonly leaf?: TestCertificate;
  readonly intermediates?: readonly TestCertificate[];
  readonly trust?: X509PopTrust;
  readonly template?: string;
  readonly bundle?: Bundle;
  readonly revoked?: ReadonlySet<string>;
}

/** A root, an intermediate below it, and the leaf of a node. */
export function x509popChain(key?: TestKey, extra: Parameters<typeof makeCertificate>[0] = {}) {
  const root = makeRoot();
  const intermediate = makeIntermediate(root);
  const leaf = makeCertificate({
    issuer: intermediate,
    subject: { commonName: 'node-1' },
    ...(key === undefined ? {} : { key }),
    ...extra,
  });
  return { root, intermediate, leaf };
}

/** Both halves of `x509pop`, with the agent's files in a folder of the test. */
export function x509popRig(context: TestContext, options: X509PopRigOptions = {}): AttestorRig {
  const chain = x509popChain(options.key);
  const leaf = options.leaf ?? chain.leaf;
  const dir = testFolder(context);
  const intermediates = options.intermediates ?? [chain.intermediate];
  writeFileSync(join(dir, 'cert.pem'), [leaf, ...intermediates].map(({ pem }) => pem).join(''));
  writeFileSync(join(dir, 'key.pem'), leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const trust = options.trust ?? { mode: 'external_pki', roots: [chain.root.certificate] };
  const template = assertValue(
    parsePathTemplate(options.template ?? '{{ .PluginName }}/{{ .Fingerprint }}', X509POP_VALUES),
  );
  const agent = createAgentHalf(
    { certificatePath: join(dir, 'cert.pem'), privateKeyPath: join(dir, 'key.pem') },
    systemRandom,
  );
  const request = testRequest();
  return {
    server: createX509PopAttestor({
      trust,
      template,
      clock: { nowMs: () => Date.UTC(2030, 0, 1) },
      random: systemRandom,
      registry: {
        trustDomain: AGENT_TEST_DOMAIN,
        bundle: options.bundle ?? emptyBundle(AGENT_TEST_DOMAIN),
        // Only whether there is one is looked at.
        revocation: (serial) => (options.revoked?.has(serial) ? ({} as never) : undefined),
      },
    }),
    request,
    begin: async () =>
      assertValue(await agent.begin({ spki: request.csrSpki, sign: () => Buffer.alloc(0) })),
  };
}
