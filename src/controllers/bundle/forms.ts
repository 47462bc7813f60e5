import { equalBytes } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { type KubeObject, textAt, textMapAt } from '../../kube/objects.ts';
import {
  DOMAIN_ANNOTATION,
  PUBLISHED_LABEL,
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
}

/** A ClusterTrustBundle (KEP-3257). */
export function trustBundleForm(settings: TrustBundleSettings, of: TrustDomain): BundleForm {
  const { signerName, channel, draftLabels } = settings;
  const labels = {
    ...settings.labels,
    [PUBLISHED_LABEL.key]: PUBLISHED_LABEL.value,
    'signet.dev/canarying': channel,
    ...(draftLabels
      ? { 'k8s.spiffe.io/canarying': channel, 'k8s.spiffe.io/workload-trust-domain': of.name }
      : {}),
  };
  const suffix = settings.name ?? objectNameOf(of);
  const name = signerName === undefined ? suffix : `${signerName.replaceAll('/', ':')}:${suffix}`;
  return {
    kind: 'ClusterTrustBundle',
    name,
    render(bundle) {
      const trustBundle = pemOf(bundle);
      if (!trustBundle.ok) return trustBundle;
      const signer = signerName === undefined ? {} : { signerName };
      return ok({
        metadata: metadataOf(name, labels, bundle),
        spec: { ...signer, trustBundle: trustBundle.value },
      });
    },
    shown: (object) =>
      shownOf(object, labels, [
        textAt(object, 'spec', 'signerName'),
        textAt(object, 'spec', 'trustBundle'),
      ]),
  };
}

/** A ConfigMap: by default what SPIRE's notifier `k8sbundle` writes. */
export function configMapForm({ name, key, format, ...settings }: ConfigMapSettings): BundleForm {
  const labels = { ...settings.labels, [PUBLISHED_LABEL.key]: PUBLISHED_LABEL.value };
  return {
    kind: 'ConfigMap',
    name,
    render(bundle) {
      const text = textOf(bundle, format);
      if (!text.ok) return text;
      return ok({ metadata: metadataOf(name, labels, bundle), data: { [key]: text.value } });
    },
    shown: (object) => shownOf(object, labels, [textAt(object, 'data', key)]),
  };
}

/** A trust domain as part of the name of an object, which has no underscores. */
function objectNameOf({ name }: TrustDomain): string {
  return name.replaceAll('_', '-');
}

function metadataOf(name: string, labels: Readonly<Record<string, string>>, bundle: Bundle) {
  return {
    name,
    labels,
    annotations: {
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
