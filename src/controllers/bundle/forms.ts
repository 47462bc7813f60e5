import { createHash } from 'node:crypto';
import { equalBytes } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { type KubeObject, textAt, textMapAt } from '../../kube/objects.ts';
import {
  DOMAIN_ANNOTATION,
  FEDERATED_LABEL,
  PUBLISHED_LABEL,
  PUBLISHER_ANNOTATION,
  SEQUENCE_ANNOTATION,
} from '../../kube/trust-bundles.ts';
import type { Bundle } from '../../spiffe/bundle.ts';
import {
  formatJwtBundle,
  formatPemBundle,
  formatSpiffeBundle,
} from '../../spiffe/bundle-format.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { ConfigMapSettings, TrustBundleSettings } from './settings.ts';

/** How one kind of object bears a bundle. */
export interface BundleForm {
  readonly kind: 'ClusterTrustBundle' | 'ConfigMap';
  readonly name: string;
  /** The object without its version and namespace. Fails with KUBE_BUNDLE_EMPTY, JWK_KEY_TYPE. */
  render(bundle: Bundle): Result<KubeObject>;
  /** What of an object is ours: equal for two objects that say the same. */
  shown(object: KubeObject): string;
  /** Whether an object is one that this server published of that other trust domain. */
  isRemovable(object: KubeObject): boolean;
}

/** A ClusterTrustBundle (KEP-3257) of the own trust domain, or of another one. */
export function trustBundleForm(
  settings: TrustBundleSettings,
  own: TrustDomain,
  other?: TrustDomain,
): BundleForm {
  const { signerName, channel, draftLabels } = settings;
  const of = other ?? own;
  const marks = marksOf(own, other);
  const labels = {
    ...settings.labels,
    ...marks.labels,
    'signet.dev/canarying': channel,
    ...(draftLabels ? draftLabelsOf(of, channel) : {}),
  };
  const suffix =
    other === undefined
      ? (settings.name ?? objectNameOf(of))
      : federatedName(settings.name, other, MAX_NAME - (signerName ?? '').length - 1);
  const name = signerName === undefined ? suffix : `${signerName.replaceAll('/', ':')}:${suffix}`;
  return {
    kind: 'ClusterTrustBundle',
    name,
    render(bundle) {
      const trustBundle = pemOf(bundle);
      if (!trustBundle.ok) return trustBundle;
      const signer = signerName === undefined ? {} : { signerName };
      return ok({
        metadata: metadataOf(name, { labels, annotations: marks.annotations }, bundle),
        spec: { ...signer, trustBundle: trustBundle.value },
      });
    },
    shown: (object) =>
      shownOf(object, labels, [
        textAt(object, 'spec', 'signerName'),
        textAt(object, 'spec', 'trustBundle'),
      ]),
    isRemovable: (object) => bears(object, marks, other),
  };
}

/**
 * A ConfigMap of the own trust domain, by default what SPIRE's notifier `k8sbundle` writes, or of another
 * one.
 */
export function configMapForm(
  { key, format, ...settings }: ConfigMapSettings,
  own: TrustDomain,
  other?: TrustDomain,
): BundleForm {
  const marks = marksOf(own, other);
  const labels = { ...settings.labels, ...marks.labels };
  const name = other === undefined ? settings.name : federatedName(settings.name, other, MAX_NAME);
  return {
    kind: 'ConfigMap',
    name,
    render(bundle) {
      const text = textOf(bundle, format);
      if (!text.ok) return text;
      const metadata = metadataOf(name, { labels, annotations: marks.annotations }, bundle);
      return ok({ metadata, data: { [key]: text.value } });
    },
    shown: (object) => shownOf(object, labels, [textAt(object, 'data', key)]),
    isRemovable: (object) => bears(object, marks, other),
  };
}

/** What tells our objects from those of others. */
interface Marks {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

function marksOf(own: TrustDomain, other: TrustDomain | undefined): Marks {
  const published = { [PUBLISHED_LABEL.key]: PUBLISHED_LABEL.value };
  if (other === undefined) return { labels: published, annotations: {} };
  return {
    labels: { ...published, [FEDERATED_LABEL.key]: FEDERATED_LABEL.value },
    annotations: { [PUBLISHER_ANNOTATION]: own.name },
  };
}

/** Whether an object has all of the marks, and is of that other trust domain. */
function bears(object: KubeObject, marks: Marks, other: TrustDomain | undefined): boolean {
  if (other === undefined) return false;
  const labels = textMapAt(object, 'metadata', 'labels');
  const annotations = textMapAt(object, 'metadata', 'annotations');
  return (
    Object.entries(marks.labels).every(([key, value]) => labels.get(key) === value) &&
    Object.entries(marks.annotations).every(([key, value]) => annotations.get(key) === value) &&
    annotations.get(DOMAIN_ANNOTATION) === other.name
  );
}

/** Labels of the draft; a trust domain that can be no value of a label is left out. */
function draftLabelsOf({ name }: TrustDomain, channel: string): Readonly<Record<string, string>> {
  const isValue = /^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/.test(name);
  return {
    'k8s.spiffe.io/canarying': channel,
    ...(isValue ? { 'k8s.spiffe.io/workload-trust-domain': name } : {}),
  };
}

/** A trust domain as part of the name of an object, which has no underscores. */
function objectNameOf({ name }: TrustDomain): string {
  return name.replaceAll('_', '-');
}

/** Longest name of an object. */
const MAX_NAME = 253;
const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

/**
 * The name of an object of another trust domain: after that of ours where configuration names it. One that
 * can be no name in Kubernetes is given by its hash, since two of them must never become one name.
 */
function federatedName(base: string | undefined, { name }: TrustDomain, longest: number): string {
  const before = base === undefined ? '' : `${base}.`;
  if (SUBDOMAIN.test(name) && before.length + name.length <= longest) return `${before}${name}`;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 32);
  return `${before.slice(0, Math.max(longest - 36, 0))}td-${hash}`;
}

function metadataOf(name: string, { labels, annotations }: Marks, bundle: Bundle) {
  return {
    name,
    labels,
    annotations: {
      ...annotations,
      [SEQUENCE_ANNOTATION]: String(bundle.sequence),
      [DOMAIN_ANNOTATION]: bundle.trustDomain.name,
    },
  };
}

function shownOf(
  object: KubeObject,
  labels: Readonly<Record<string, string>>,
  content: readonly (string | undefined)[],
): string {
  const held = textMapAt(object, 'metadata', 'labels');
  const annotations = textMapAt(object, 'metadata', 'annotations');
  const marks = [
    ...Object.keys(labels).map((key) => held.get(key)),
    annotations.get(SEQUENCE_ANNOTATION),
    annotations.get(DOMAIN_ANNOTATION),
    annotations.get(PUBLISHER_ANNOTATION),
  ];
  return JSON.stringify([...content, ...marks].map((text) => text ?? null));
}

function textOf(bundle: Bundle, format: ConfigMapSettings['format']): Result<string> {
  if (format === 'pem') return pemOf(bundle);
  const isEmpty =
    bundle.jwtAuthorities.length === 0 &&
    (format === 'jwks' || bundle.x509Authorities.length === 0);
  if (isEmpty) return empty(bundle, format === 'jwks' ? 'JWT key' : 'authority');
  const bytes = format === 'jwks' ? formatJwtBundle(bundle) : formatSpiffeBundle(bundle);
  return bytes.ok ? ok(Buffer.from(bytes.value).toString()) : bytes;
}

/** The CA certificates, each once: the API server refuses a bundle with any other, and an empty one. */
function pemOf(bundle: Bundle): Result<string> {
  const authorities = bundle.x509Authorities.filter(
    ({ certificate }, index, all) =>
      certificate.basicConstraints?.ca === true &&
      all.findIndex((other) => equalBytes(other.certificate.der, certificate.der)) === index,
  );
  if (authorities.length === 0) return empty(bundle, 'CA certificate');
  return ok(formatPemBundle({ ...bundle, x509Authorities: authorities }));
}

function empty({ trustDomain }: Bundle, what: string) {
  return fail('KUBE_BUNDLE_EMPTY', `the bundle of ${trustDomain.name} holds no ${what}`);
}
