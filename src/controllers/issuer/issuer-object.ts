import { fail, ok, type Result } from '../../base/result.ts';
import { type KubeObject, metaOf, numberAt, objectAt } from '../../kube/objects.ts';
import { FieldReader, type JsonObject } from '../../rules/kube/fields.ts';
import { type LabelSelector, readLabelSelector } from '../../rules/kube/label-selector.ts';
import { classOf } from '../../rules/kube/pod-rule.ts';
import type { Template } from '../../rules/template/template.ts';
import { type ClassFilter, isActedOn } from '../rule-kinds.ts';
import { type ShownCondition, shownCondition } from './condition.ts';
import type { IssuerKind, IssuerRef } from './kinds.ts';

/** What an issuer gives to requests that no pod makes. */
export interface Allowance {
  /** Empty for a SignetIssuer, which has its own namespace only. */
  readonly namespaceSelector: LabelSelector;
  readonly pathPrefix: Template;
  readonly dnsNames: readonly Template[];
  /** 0 takes the server's default. */
  readonly ttlSeconds: number;
}

/** A SignetIssuer or SignetClusterIssuer. */
export interface IssuerObject {
  readonly ref: IssuerRef;
  readonly uid: string;
  readonly generation: number;
  readonly allowances: Result<readonly Allowance[]>;
  /** Its condition Ready as the cluster has it. */
  readonly shown: ShownCondition | undefined;
}

/** Reads an issuer; undefined where it is of a class that another server acts on. */
export function issuerFrom(
  kind: IssuerKind,
  object: KubeObject,
  filter: ClassFilter,
): IssuerObject | undefined {
  const { name, namespace, uid } = metaOf(object);
  const spec = objectAt(object, 'spec') ?? {};
  const className = classOf(spec);
  if (!isActedOn(className, filter)) return undefined;
  return {
    ref: { kind, namespace, name },
    uid,
    generation: numberAt(object, 'metadata', 'generation') ?? 0,
    allowances: readAllowances(kind, spec),
    shown: shownCondition(object, 'Ready'),
  };
}

function readAllowances(kind: IssuerKind, spec: JsonObject): Result<readonly Allowance[]> {
  const fields = new FieldReader(spec);
  const read = fields.objects('certificates').map((one) => ({
    namespaceSelector: kind === 'SignetIssuer' ? [] : readLabelSelector(one, 'namespaceSelector'),
    pathPrefix: one.template('pathPrefix'),
    dnsNames: one.templates('dnsNames'),
    ttlSeconds: one.seconds('ttl'),
  }));
  const answered = fields.answer(read);
  if (!answered.ok) return answered;
  const allowances: Allowance[] = [];
  for (const { pathPrefix, ...rest } of answered.value) {
    if (pathPrefix === undefined) return fail('RULE_SPEC', 'a pathPrefix is missing');
    allowances.push({ ...rest, pathPrefix });
  }
  return ok(allowances);
}
