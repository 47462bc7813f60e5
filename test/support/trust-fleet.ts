import { makeCertificate, makeRoot, type TestCertificate } from './x509.ts';

/** Authorities of a made-up fleet. */
export interface TrustFleet {
  readonly roots: {
    readonly first: TestCertificate;
    readonly second: TestCertificate;
    /** The second's key in a new certificate. */
    readonly secondAnew: TestCertificate;
    /** Nobody's: what an attacker might add. */
    readonly foreign: TestCertificate;
    /** Of old.example, and past. */
    readonly past: TestCertificate;
  };
  /** Manifests of namespaces, ConfigMaps and a ClusterTrustBundle, as one list. */
  readonly manifest: string;
  /** What is wrong with a copy, by `namespace/name`; all others are InSync. */
  readonly states: ReadonlyMap<string, string>;
  readonly copies: number;
}

const SEQUENCE = 7;

/** `ns-00`, `ns-01`, … */
export function fleetNamespace(index: number): string {
  return `ns-${String(index).padStart(2, '0')}`;
}

interface Copy {
  readonly data: Readonly<Record<string, string>>;
  readonly sequence?: number;
  readonly state?: string;
}

/** Copies of a bundle over many namespaces: most are current, each kind of trouble is there. */
export function trustFleet(namespaces: number): TrustFleet {
  const first = makeRoot('example.org', { subject: { commonName: 'first' } });
  const second = makeRoot('example.org', { subject: { commonName: 'second' } });
  const secondAnew = makeRoot('example.org', {
    subject: { commonName: 'second' },
    key: second.key,
  });
  const foreign = makeCertificate({ ca: true, subject: { commonName: 'foreign' } });
  const past = makeRoot('old.example', {
    subject: { commonName: 'past' },
    notAfterMs: Date.UTC(2021, 0, 1),
  });
  const current = first.pem + second.pem;
  const special: Readonly<Record<number, Copy>> = {
    3: { data: { 'bundle.crt': first.pem }, sequence: 6, state: 'Stale' },
    5: { data: { 'bundle.crt': `# order and comments\n${second.pem}\n\n${first.pem}` } },
    7: { data: { 'bundle.crt': current + foreign.pem }, state: 'Extra' },
    8: { data: { 'bundle.crt': first.pem }, state: 'Missing' },
    12: { data: { 'bundle.crt': '' }, state: 'Empty' },
    13: { data: { 'bundle.crt': '-----BEGIN CERTIFICATE-----\nxx\n' }, state: 'Unreadable' },
    14: { data: { 'bundle.crt': first.pem + secondAnew.pem }, state: 'Reissued' },
    15: { data: { 'bundle.crt': `${current}\u001b[31m\u202e` } },
  };
  const states = new Map<string, string>();
  const items: object[] = [
    {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'ClusterTrustBundle',
      metadata: marked('', 'example.org', 'example.org', SEQUENCE),
      spec: { trustBundle: current },
    },
  ];
  for (let index = 0; index < namespaces; index += 1) {
    const namespace = fleetNamespace(index);
    const { data, sequence, state } = special[index] ?? { data: { 'bundle.crt': current } };
    items.push({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    items.push({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: marked(namespace, 'spiffe-bundle', 'example.org', sequence ?? SEQUENCE),
      data,
    });
    if (state !== undefined) states.set(`${namespace}/spiffe-bundle`, state);
  }
  items.push({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'spire-bundle', namespace: fleetNamespace(0) },
    data: { 'bundle.crt': past.pem },
  });
  states.set(`${fleetNamespace(0)}/spire-bundle`, 'Expired');
  items.push({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: 'targets',
      namespace: fleetNamespace(1),
      labels: { 'trust.cert-manager.io/bundle': 'targets' },
    },
    data: { 'ca.pem': current },
  });
  return {
    roots: { first, second, secondAnew, foreign, past },
    manifest: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
    states,
    copies: namespaces + 3,
  };
}

function marked(namespace: string, name: string, trustDomain: string, sequence: number): object {
  return {
    name,
    ...(namespace === '' ? {} : { namespace }),
    labels: { 'signet.dev/bundle': 'published' },
    annotations: {
      'signet.dev/bundle-sequence': String(sequence),
      'signet.dev/trust-domain': trustDomain,
    },
  };
}
