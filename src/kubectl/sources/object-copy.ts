import { ok } from '../../base/result.ts';
import { type KubeObject, metaOf, textMapAt } from '../../kube/objects.ts';
import {
  DOMAIN_ANNOTATION,
  PUBLISHED_LABEL,
  SEQUENCE_ANNOTATION,
} from '../../kube/trust-bundles.ts';
import { parseTrustDomain } from '../../spiffe/trust-domain.ts';
import type { ContentReader } from '../content.ts';
import { type BundleContent, type BundleCopy, NO_CONTENT, type SourceKind } from '../model.ts';

/** Label of a SPIFFE draft on ClusterTrustBundles. */
const DRAFT_DOMAIN_LABEL = 'k8s.spiffe.io/workload-trust-domain';

/** What an object is read for. */
export interface ObjectText {
  readonly context: string;
  readonly source: SourceKind;
  readonly key: string | undefined;
  readonly text: string;
}

/** The copy that a text of an object is. */
export function copyOf(
  object: KubeObject,
  { context, source, key, text }: ObjectText,
  read: ContentReader,
): BundleCopy {
  const { namespace, name } = metaOf(object);
  const annotations = textMapAt(object, 'metadata', 'annotations');
  const labels = textMapAt(object, 'metadata', 'labels');
  const content = text === '' ? ok(NO_CONTENT) : read(text);
  const held = content.ok ? content.value : NO_CONTENT;
  return {
    place: { context, source, namespace, name, key },
    trustDomain:
      nameOf(annotations.get(DOMAIN_ANNOTATION)) ??
      nameOf(labels.get(DRAFT_DOMAIN_LABEL)) ??
      domainOf(held),
    content: held,
    sequence: sequenceOf(annotations.get(SEQUENCE_ANNOTATION)) ?? held.sequence,
    isPublished: labels.get(PUBLISHED_LABEL.key) === PUBLISHED_LABEL.value,
    problem: content.ok ? undefined : content.error,
  };
}

/** The trust domain that the authorities name, where they agree. */
export function domainOf({ x509 }: BundleContent): string | undefined {
  const names = new Set<string>();
  for (const { certificate } of x509) {
    for (const name of certificate.subjectAltName?.names ?? []) {
      if (name.kind === 'uri' && name.text.startsWith('spiffe://')) {
        names.add(name.text.slice('spiffe://'.length));
      }
    }
  }
  const [only] = names;
  return names.size === 1 ? nameOf(only) : undefined;
}

function nameOf(text: string | undefined): string | undefined {
  const domain = text === undefined ? undefined : parseTrustDomain(text);
  return domain?.ok === true ? domain.value.name : undefined;
}

/** Unsigned 64 bits; undefined for anything else. */
function sequenceOf(text: string | undefined): bigint | undefined {
  if (text === undefined || !/^[0-9]{1,20}$/.test(text)) return undefined;
  const sequence = BigInt(text);
  return sequence < 2n ** 64n ? sequence : undefined;
}
