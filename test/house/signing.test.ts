import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { productSources } from './boundaries.ts';

/** What gives power over an authority's key, and the only places that may name it. */
const PRIVILEGES: readonly (readonly [name: string, pattern: RegExp, places: readonly string[]])[] =
  [
    ['a key without the gate', /\bSigningKey\b/, ['src/keys/', 'src/lint/linted-key.ts']],
    [
      'the bytes of a private key',
      /\bexportPkcs8\(/,
      ['src/keys/', 'src/lint/linted-key.ts', 'src/issuance/sign-thread.ts'],
    ],
    ['making a key of bytes', /\bimportLocalKey\(/, ['src/keys/', 'src/issuance/sign-worker.ts']],
    ['the body of a lint token', /\bredeem\(/, ['src/lint/']],
    [
      'signing with no key manager',
      /import \{[^}]*\b(sign|createSign)\b[^}]*\} from 'node:crypto'/,
      // A request for a certificate is signed by who asks, a challenge by the connector that enrols, and so
      // is evidence of a node by its agent and a voucher by the agent of the DPU; a mock
      // BMC and the device behind it sign their own, and the demo is its own publisher of manifests.
      // The reference connector is nobody's code but its own: it proves that it has its key.
      [
        'src/keys/',
        'src/x509/csr-builder.ts',
        'src/main/demo/mock-bmc/',
        'src/main/demo/dpu/manifest.ts',
        'agent/attestation/',
        'agent/connector/proof.ts',
        'agent/voucher/',
        'examples/connector/',
      ],
    ],
  ];

const sources = productSources(process.cwd()).map((file) => ({
  file,
  text: readFileSync(file, 'utf8'),
}));

for (const [name, pattern, places] of PRIVILEGES) {
  test(`I3 ${name} is named where it must be, and nowhere else`, () => {
    const naming = sources.filter(({ text }) => pattern.test(text)).map(({ file }) => file);
    const allowed = (file: string): boolean => places.some((place) => file.startsWith(place));
    assert.deepEqual(
      naming.filter((file) => !allowed(file)),
      [],
    );
    for (const place of places) {
      assert.ok(
        naming.some((file) => file.startsWith(place)),
        `nothing in ${place}`,
      );
    }
  });
}
