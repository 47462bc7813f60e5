import { hash } from 'node:crypto';
import type { Tag } from '@aws-sdk/client-kms';

/** Whose keys they are. */
export interface KeyOwner {
  /** Prefix of all names; two installations of one trust domain in one account need two. */
  readonly namespace: string;
  /** Name of the trust domain. */
  readonly trustDomain: string;
}

/** Longest trust domain name that goes into an alias (256 characters) as it is. */
const MAX_PLAIN_DOMAIN = 120;

const TAG = {
  namespace: 'signet-namespace',
  trustDomain: 'signet-trust-domain',
  slot: 'signet-slot',
  retired: 'signet-retired-at',
} as const;

/**
 * Aliases of an owner's keys begin so. Names are worked out from trust domain and slot alone, so that
 * a restart finds its keys and makes none. An alias has no dot: it becomes `_`, and `_` becomes `/`,
 * which no trust domain has, so that no two share a name.
 */
export function aliasPrefix({ namespace, trustDomain }: KeyOwner): string {
  const plain = trustDomain.length <= MAX_PLAIN_DOMAIN;
  const domain = plain
    ? trustDomain.replaceAll('_', '/').replaceAll('.', '_')
    : `sha256/${hash('sha256', trustDomain)}`;
  return `alias/${namespace}/${domain}/`;
}

/** Alias of the key of a slot. */
export function aliasName(owner: KeyOwner, slot: string): string {
  return aliasPrefix(owner) + slot;
}

/** The slot that an alias names; undefined where it is not one of this owner's. */
export function slotOfAlias(owner: KeyOwner, alias: string): string | undefined {
  const prefix = aliasPrefix(owner);
  const slot = alias.startsWith(prefix) ? alias.slice(prefix.length) : '';
  return /^[A-Za-z0-9-]{1,64}$/.test(slot) ? slot : undefined;
}

/** Tags of the key of a slot: what it is for, whatever its alias says. */
export function keyTags({ namespace, trustDomain }: KeyOwner, slot: string): Tag[] {
  return [
    { TagKey: TAG.namespace, TagValue: namespace },
    { TagKey: TAG.trustDomain, TagValue: trustDomain },
    { TagKey: TAG.slot, TagValue: slot },
  ];
}

/** The tag that a key gets when another takes its slot; seconds of Unix time. */
export function retiredTag(nowMs: number): Tag {
  return { TagKey: TAG.retired, TagValue: String(Math.floor(nowMs / 1000)) };
}

/** When a key lost its slot, in Unix milliseconds; 0 where no tag says so. */
export function retiredAtMs(tags: readonly Tag[]): number {
  const text = tagValue(tags, TAG.retired) ?? '';
  return /^\d{1,12}$/.test(text) ? Number(text) * 1000 : 0;
}

/** The slot that the tags of a key name; undefined where it is not one of this owner's. */
export function slotOfTags(owner: KeyOwner, tags: readonly Tag[]): string | undefined {
  const ours =
    tagValue(tags, TAG.namespace) === owner.namespace &&
    tagValue(tags, TAG.trustDomain) === owner.trustDomain;
  return ours ? tagValue(tags, TAG.slot) : undefined;
}

function tagValue(tags: readonly Tag[], key: string): string | undefined {
  return tags.find(({ TagKey }) => TagKey === key)?.TagValue;
}
