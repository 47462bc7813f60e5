import { fail, ok, type Result } from '../base/result.ts';
import {
  ListFederationRelationshipsResponse,
  type TrustDomainService,
} from '../gen/spire/api/server/trustdomain/v1/trustdomain.ts';
import type {
  FederationRelationship,
  FederationRelationshipMask,
} from '../gen/spire/api/types/federationrelationship.ts';
import type { Status } from '../gen/spire/api/types/status.ts';
import type { CallContext, Handlers } from '../rpc/service.ts';
import type { Federation } from '../rules/federation.ts';
import type { FederationWrite } from '../store/federation.ts';
import { checkBatch, fitAnswer, runBatch } from './batch.ts';
import { type ApiContext, audit } from './context.ts';
import { fromWireFederation, toWireFederation } from './convert/federation.ts';
import { maskFederation, mergeFederation } from './convert/masks.ts';
import { itemStatus, OK_STATUS } from './convert/status.ts';
import { foreignDomain } from './federated-bundles.ts';

/** How often an update is merged anew when something else wrote the relationship in between. */
const MAX_TRIES = 4;

/** What the service stands on. */
export interface TrustDomainContext extends Pick<ApiContext, 'registry' | 'limits' | 'log'> {
  /** Fetches the bundle of a relationship now; answers when what came is kept. */
  readonly refresh: (trustDomain: string) => Promise<Result<void>>;
}

interface RelationshipResult {
  readonly status: Status;
  readonly federationRelationship: FederationRelationship | undefined;
}

/** `spire.api.server.trustdomain.v1.TrustDomain`: relationships with other trust domains. */
export function createTrustDomainService(api: TrustDomainContext): Handlers<TrustDomainService> {
  const { federation } = api.registry;
  const fits = (count: number): Result<void> =>
    checkBatch(count, api.limits.maxBatchEntries, 'relationships');
  return {
    listFederationRelationships({ pageSize, pageToken, outputMask }) {
      const page = federation.list({ pageSize, pageToken });
      if (!page.ok) return page;
      return fitAnswer(ListFederationRelationshipsResponse, {
        federationRelationships: page.value.items.map((one) => wireOf(api, one, outputMask)),
        nextPageToken: page.value.nextPageToken,
      });
    },
    getFederationRelationship(request) {
      const asked = foreignDomain(api, request.trustDomain);
      if (!asked.ok) return asked;
      const found = federation.relationship(asked.value.name);
      if (found === undefined) return unknown(asked.value.name);
      return ok(wireOf(api, found, request.outputMask));
    },
    async batchCreateFederationRelationship(request, context) {
      const checked = fits(request.federationRelationships.length);
      if (!checked.ok) return checked;
      const { federationRelationships: messages, outputMask } = request;
      return ok({ results: await createAll(api, messages, { outputMask, context }) });
    },
    async batchUpdateFederationRelationship(request, context) {
      const checked = fits(request.federationRelationships.length);
      if (!checked.ok) return checked;
      const { inputMask, outputMask } = request;
      const results: RelationshipResult[] = [];
      // One after the other: two with one trust domain build on each other.
      for (const message of request.federationRelationships) {
        const updated = await updateOne(api, message, inputMask);
        results.push(resultOf(api, updated, { outputMask, context }));
      }
      return ok({ results });
    },
    async batchDeleteFederationRelationship({ trustDomains }, context) {
      const checked = fits(trustDomains.length);
      return checked.ok ? ok({ results: await deleteAll(api, trustDomains, context) }) : checked;
    },
    async refreshBundle(request, context) {
      const asked = foreignDomain(api, request.trustDomain);
      if (!asked.ok) return asked;
      const { name } = asked.value;
      if (federation.relationship(name) === undefined) return unknown(name);
      const refreshed = await api.refresh(name);
      if (!refreshed.ok) return refreshed;
      audit(api, context, { federatedTrustDomain: name });
      return ok({});
    },
  };
}

interface Asked {
  readonly outputMask: FederationRelationshipMask | undefined;
  readonly context: CallContext;
}

async function createAll(
  api: TrustDomainContext,
  messages: readonly FederationRelationship[],
  asked: Asked,
): Promise<RelationshipResult[]> {
  const writes = messages.map((message): Result<FederationWrite> => {
    const trustDomain = foreignDomain(api, message.trustDomain);
    if (!trustDomain.ok) return trustDomain;
    const stated = fromWireFederation(trustDomain.value, message);
    if (!stated.ok) return stated;
    const { bundle, ...rest } = stated.value;
    const federation = { trustDomain: trustDomain.value, ...rest, origin: '' };
    return ok({ federation, bundle, mode: 'create' });
  });
  const { federation } = api.registry;
  const outcomes = await runBatch(writes, (valid) => federation.writeRelationships(valid));
  return outcomes.map((outcome) => {
    if (!outcome.ok) return resultOf(api, outcome, asked);
    if (outcome.value.outcome === 'written') return resultOf(api, ok(outcome.value.value), asked);
    return resultOf(api, fail('FEDERATION_EXISTS', 'there is such a relationship already'), asked);
  });
}

async function updateOne(
  api: TrustDomainContext,
  message: FederationRelationship,
  inputMask: FederationRelationshipMask | undefined,
): Promise<Result<Federation>> {
  const trustDomain = foreignDomain(api, message.trustDomain);
  if (!trustDomain.ok) return trustDomain;
  const { name } = trustDomain.value;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const current = api.registry.federation.relationship(name);
    if (current === undefined) return unknown(name);
    // Without a bundle of its own: what is held is no part of what is written.
    const merged = mergeFederation(toWireFederation(current, undefined), message, inputMask);
    const stated = fromWireFederation(trustDomain.value, merged);
    if (!stated.ok) return stated;
    const { bundle, ...rest } = stated.value;
    const federation = { trustDomain: trustDomain.value, ...rest, origin: current.origin };
    const written = await api.registry.federation.writeRelationships([
      { federation, bundle, mode: 'update', expectedRevision: current.revision },
    ]);
    if (!written.ok) return written;
    const [outcome] = written.value;
    if (outcome?.outcome === 'written') return ok(outcome.value);
    if (outcome?.outcome === 'missing') return unknown(name);
  }
  return fail('FEDERATION_CHANGED', `the relationship with ${name} keeps changing`);
}

async function deleteAll(
  api: TrustDomainContext,
  names: readonly string[],
  context: CallContext,
): Promise<{ status: Status; trustDomain: string }[]> {
  const items = names.map((name) => {
    const domain = foreignDomain(api, name);
    return domain.ok ? ok({ trustDomain: domain.value.name }) : domain;
  });
  const { federation } = api.registry;
  const outcomes = await runBatch(items, (valid) => federation.deleteRelationships(valid));
  return outcomes.map((outcome, index) => {
    const item = items[index];
    // Of those that were read, the bare name, as SPIRE answers.
    const trustDomain = item?.ok ? item.value.trustDomain : (names[index] ?? '');
    const deleted = outcome.ok && !outcome.value ? unknown(trustDomain) : outcome;
    if (!deleted.ok) return { status: itemStatus(deleted.error), trustDomain };
    audit(api, context, { federatedTrustDomain: trustDomain });
    return { status: OK_STATUS, trustDomain };
  });
}

function resultOf(
  api: TrustDomainContext,
  written: Result<Federation>,
  { outputMask, context }: Asked,
): RelationshipResult {
  if (!written.ok) {
    return { status: itemStatus(written.error), federationRelationship: undefined };
  }
  const { trustDomain, bundleEndpointUrl, profile } = written.value;
  audit(api, context, {
    federatedTrustDomain: trustDomain.name,
    bundleEndpointUrl,
    profile: profile.kind,
    ...(profile.kind === 'https_spiffe' ? { endpointId: profile.endpointId.uri } : {}),
  });
  return {
    status: OK_STATUS,
    federationRelationship: wireOf(api, written.value, outputMask),
  };
}

function wireOf(
  { registry }: Pick<ApiContext, 'registry'>,
  one: Federation,
  mask: FederationRelationshipMask | undefined,
): FederationRelationship {
  const held = registry.federation.bundle(one.trustDomain.name)?.bundle;
  return maskFederation(toWireFederation(one, held), mask);
}

function unknown(name: string): ReturnType<typeof fail> {
  return fail('FEDERATION_NOT_FOUND', `there is no relationship with trust domain ${name}`);
}
