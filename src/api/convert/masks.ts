import type { Agent, AgentMask } from '../../gen/spire/api/types/agent.ts';
import type { Bundle, BundleMask } from '../../gen/spire/api/types/bundle.ts';
import type { Entry, EntryMask } from '../../gen/spire/api/types/entry.ts';
import type {
  FederationRelationship,
  FederationRelationshipMask,
} from '../../gen/spire/api/types/federationrelationship.ts';

/** A message with the mask's fields, each with the value that stands for "left out". */
type Blanks<T, M> = { readonly [K in keyof M & keyof T]-?: T[K] };

const ENTRY_BLANKS: Blanks<Entry, EntryMask> = {
  spiffeId: undefined,
  parentId: undefined,
  selectors: [],
  x509SvidTtl: 0,
  federatesWith: [],
  admin: false,
  downstream: false,
  expiresAt: 0n,
  dnsNames: [],
  revisionNumber: 0n,
  storeSvid: false,
  jwtSvidTtl: 0,
  hint: '',
  createdAt: 0n,
  additionalAttributes: undefined,
};

const AGENT_BLANKS: Blanks<Agent, AgentMask> = {
  attestationType: '',
  x509svidSerialNumber: '',
  x509svidExpiresAt: 0n,
  selectors: [],
  banned: false,
  canReattest: false,
  agentVersion: '',
};

const BUNDLE_BLANKS: Blanks<Bundle, BundleMask> = {
  x509Authorities: [],
  jwtAuthorities: [],
  refreshHint: 0n,
  sequenceNumber: 0n,
  witAuthorities: [],
};

const FEDERATION_BLANKS: Blanks<FederationRelationship, FederationRelationshipMask> = {
  bundleEndpointUrl: '',
  bundleEndpointProfile: undefined,
  trustDomainBundle: undefined,
};

/** An entry with the fields that the mask asks for; without a mask, whole. The ID always stays. */
export function maskEntry(entry: Entry, mask: EntryMask | undefined): Entry {
  return applyMask(entry, mask, ENTRY_BLANKS);
}

/** An agent with the fields that the mask asks for; without a mask, whole. The ID always stays. */
export function maskAgent(agent: Agent, mask: AgentMask | undefined): Agent {
  return applyMask(agent, mask, AGENT_BLANKS);
}

/** A bundle with the fields that the mask asks for; without a mask, whole. Its name always stays. */
export function maskBundle(bundle: Bundle, mask: BundleMask | undefined): Bundle {
  return applyMask(bundle, mask, BUNDLE_BLANKS);
}

/**
 * An entry to be written: the request's fields where the mask asks for them, else those of the entry
 * as it is. Without a mask every field is the request's.
 */
export function mergeEntry(current: Entry, request: Entry, mask: EntryMask | undefined): Entry {
  return merge(current, request, mask, ENTRY_BLANKS);
}

/** A relationship with the fields that the mask asks for; without a mask, whole. Its name always stays. */
export function maskFederation(
  message: FederationRelationship,
  mask: FederationRelationshipMask | undefined,
): FederationRelationship {
  return applyMask(message, mask, FEDERATION_BLANKS);
}

/** A relationship to be written, as {@link mergeEntry} makes an entry. */
export function mergeFederation(
  current: FederationRelationship,
  request: FederationRelationship,
  mask: FederationRelationshipMask | undefined,
): FederationRelationship {
  return merge(current, request, mask, FEDERATION_BLANKS);
}

/** A bundle to be written, as {@link mergeEntry} makes an entry. */
export function mergeBundle(
  current: Bundle,
  request: Bundle,
  mask: BundleMask | undefined,
): Bundle {
  return merge(current, request, mask, BUNDLE_BLANKS);
}

function merge<T extends object, M extends { readonly [K in keyof M]: boolean }>(
  current: T,
  request: T,
  mask: M | undefined,
  blanks: Blanks<T, M>,
): T {
  if (mask === undefined) return request;
  const merged = { ...request };
  for (const field of fieldsOf(blanks)) {
    if (!mask[field]) copyField<T, keyof M & keyof T>(merged, current, field);
  }
  return merged;
}

function applyMask<T extends object, M extends { readonly [K in keyof M]: boolean }>(
  message: T,
  mask: M | undefined,
  blanks: Blanks<T, M>,
): T {
  if (mask === undefined) return message;
  const masked = { ...message };
  // Fields that the blanks do not name (the identity of the message) are never taken out.
  for (const field of fieldsOf(blanks)) {
    if (!mask[field]) copyField<T, keyof M & keyof T>(masked, blanks, field);
  }
  return masked;
}

function copyField<T, K extends keyof T>(to: T, from: { readonly [P in K]: T[P] }, field: K): void {
  to[field] = from[field];
}

/** The keys of a table that is complete by its type. */
function fieldsOf<B extends object>(blanks: B): readonly (keyof B)[] {
  // `Object.keys` answers strings; the tables above are literals that hold exactly their type's keys.
  return Object.keys(blanks) as (keyof B)[];
}
