import { fail, ok, type Result } from '../base/result.ts';
import {
  type BundleService,
  ListFederatedBundlesResponse,
  BatchDeleteFederatedBundleRequest_Mode as Mode,
} from '../gen/spire/api/server/bundle/v1/bundle.ts';
import type { BundleMask, Bundle as WireBundle } from '../gen/spire/api/types/bundle.ts';
import type { Status } from '../gen/spire/api/types/status.ts';
import type { CallContext, Handlers } from '../rpc/service.ts';
import type { FederatedBundle } from '../rules/federation.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import { parseTrustDomain, type TrustDomain } from '../spiffe/trust-domain.ts';
import type {
  DeletedFederatedBundle,
  FederatedBundleDeleteMode,
  FederatedBundleWrite,
  WriteMode,
} from '../store/federation.ts';
import { checkBatch, fitAnswer, runBatch } from './batch.ts';
import { type ApiContext, audit } from './context.ts';
import { answerBundle, fromWireBundle, toWireBundle } from './convert/bundles.ts';
import { inField } from './convert/ids.ts';
import { maskBundle, mergeBundle } from './convert/masks.ts';
import { itemStatus, OK_STATUS } from './convert/status.ts';

/** How often an update is merged anew when something else wrote the bundle in between. */
const MAX_TRIES = 4;

/** What these handlers stand on. */
export type FederatedBundleContext = Pick<ApiContext, 'registry' | 'limits' | 'log'>;

type FederatedHandlers = Pick<
  Handlers<BundleService>,
  | 'countBundles'
  | 'listFederatedBundles'
  | 'getFederatedBundle'
  | 'batchCreateFederatedBundle'
  | 'batchUpdateFederatedBundle'
  | 'batchSetFederatedBundle'
  | 'batchDeleteFederatedBundle'
>;

interface BundleResult {
  readonly status: Status;
  readonly bundle: WireBundle | undefined;
}

/** The part of `spire.api.server.bundle.v1.Bundle` that is about other trust domains. */
export function federatedBundleHandlers(api: FederatedBundleContext): FederatedHandlers {
  const { federation } = api.registry;
  const fits = (count: number, field: string): Result<void> =>
    checkBatch(count, api.limits.maxBatchEntries, field);
  return {
    countBundles: () =>
      ok({ count: federation.bundleCount + (api.registry.bundle === undefined ? 0 : 1) }),
    listFederatedBundles({ pageSize, pageToken, outputMask }) {
      const page = federation.listBundles({ pageSize, pageToken });
      if (!page.ok) return page;
      return fitAnswer(ListFederatedBundlesResponse, {
        bundles: page.value.items.map(({ bundle }) => maskBundle(toWireBundle(bundle), outputMask)),
        nextPageToken: page.value.nextPageToken,
      });
    },
    getFederatedBundle(request) {
      const asked = foreignDomain(api, request.trustDomain);
      if (!asked.ok) return asked;
      const found = federation.bundle(asked.value.name);
      // Stock agents take NotFound as "not federated", and go on.
      return found === undefined
        ? unknownBundle(asked.value.name)
        : ok(answerBundle(found.bundle, request.outputMask));
    },
    async batchCreateFederatedBundle({ bundle, outputMask }, context) {
      const checked = fits(bundle.length, 'bundles');
      if (!checked.ok) return checked;
      return ok({
        results: await putBundles(api, bundle, { mode: 'create', outputMask, context }),
      });
    },
    async batchSetFederatedBundle({ bundle, outputMask }, context) {
      const checked = fits(bundle.length, 'bundles');
      if (!checked.ok) return checked;
      return ok({ results: await putBundles(api, bundle, { mode: 'set', outputMask, context }) });
    },
    async batchUpdateFederatedBundle({ bundle, inputMask, outputMask }, context) {
      const checked = fits(bundle.length, 'bundles');
      if (!checked.ok) return checked;
      const results: BundleResult[] = [];
      // One after the other: two of one trust domain build on each other.
      for (const one of bundle) {
        const updated = await updateBundle(api, one, inputMask);
        results.push(resultOf(api, updated, { outputMask, context }));
      }
      return ok({ results });
    },
    async batchDeleteFederatedBundle({ trustDomains, mode }, context) {
      const checked = fits(trustDomains.length, 'trust domains');
      if (!checked.ok) return checked;
      const named = modeOf(mode);
      if (!named.ok) return named;
      return ok({ results: await deleteBundles(api, trustDomains, named.value, context) });
    },
  };
}

/** A trust domain other than the own one. */
export function foreignDomain(
  { registry }: Pick<ApiContext, 'registry'>,
  text: string,
): Result<TrustDomain> {
  const named = parseTrustDomain(text);
  if (!named.ok) return inField(named.error, 'trust_domain');
  if (named.value.name !== registry.trustDomain.name) return named;
  return fail('FEDERATION_OWN_DOMAIN', `${named.value.name} is the trust domain of this server`);
}

interface Asked {
  readonly outputMask: BundleMask | undefined;
  readonly context: CallContext;
}

async function putBundles(
  api: FederatedBundleContext,
  messages: readonly WireBundle[],
  asked: Asked & { readonly mode: WriteMode },
): Promise<BundleResult[]> {
  const writes = messages.map((message): Result<FederatedBundleWrite> => {
    const bundle = foreignBundle(api, message);
    return bundle.ok ? ok({ bundle: bundle.value, origin: '', mode: asked.mode }) : bundle;
  });
  const outcomes = await runBatch(writes, (valid) => api.registry.federation.writeBundles(valid));
  return outcomes.map((outcome) => {
    if (!outcome.ok) return resultOf(api, outcome, asked);
    if (outcome.value.outcome === 'written') return resultOf(api, ok(outcome.value.value), asked);
    return resultOf(api, fail('FEDERATED_BUNDLE_EXISTS', 'there is such a bundle already'), asked);
  });
}

async function updateBundle(
  api: FederatedBundleContext,
  message: WireBundle,
  inputMask: BundleMask | undefined,
): Promise<Result<FederatedBundle>> {
  const asked = foreignDomain(api, message.trustDomain);
  if (!asked.ok) return asked;
  const { name } = asked.value;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const current = api.registry.federation.bundle(name);
    if (current === undefined) return unknownBundle(name);
    const merged = mergeBundle(toWireBundle(current.bundle), message, inputMask);
    const bundle = foreignBundle(api, merged);
    if (!bundle.ok) return bundle;
    const write = { bundle: bundle.value, origin: '', mode: 'update' } as const;
    const written = await api.registry.federation.writeBundles([
      { ...write, expectedRevision: current.revision },
    ]);
    if (!written.ok) return written;
    const [outcome] = written.value;
    if (outcome?.outcome === 'written') return ok(outcome.value);
    if (outcome?.outcome === 'missing') return unknownBundle(name);
  }
  return fail('FEDERATION_CHANGED', `the bundle of ${name} keeps changing`);
}

function foreignBundle(api: FederatedBundleContext, message: WireBundle): Result<Bundle> {
  const domain = foreignDomain(api, message.trustDomain);
  return domain.ok ? fromWireBundle(message) : domain;
}

function resultOf(
  api: FederatedBundleContext,
  written: Result<FederatedBundle>,
  { outputMask, context }: Asked,
): BundleResult {
  if (!written.ok) return { status: itemStatus(written.error), bundle: undefined };
  const { bundle } = written.value;
  audit(api, context, bundleFacts(bundle));
  return { status: OK_STATUS, bundle: maskBundle(toWireBundle(bundle), outputMask) };
}

/** What the audit says of a bundle. */
export function bundleFacts(bundle: Bundle): Readonly<Record<string, unknown>> {
  return {
    federatedTrustDomain: bundle.trustDomain.name,
    x509Authorities: bundle.x509Authorities.length,
    jwtAuthorities: bundle.jwtAuthorities.length,
    bundleSequence: String(bundle.sequence),
  };
}

function modeOf(mode: Mode): Result<FederatedBundleDeleteMode> {
  if (mode === Mode.RESTRICT) return ok('restrict');
  if (mode === Mode.DELETE) return ok('delete');
  if (mode === Mode.DISSOCIATE) return ok('dissociate');
  return fail('FIELD_INVALID', 'mode is none of RESTRICT, DELETE and DISSOCIATE');
}

async function deleteBundles(
  api: FederatedBundleContext,
  names: readonly string[],
  mode: FederatedBundleDeleteMode,
  context: CallContext,
): Promise<{ status: Status; trustDomain: string }[]> {
  const items = names.map((name) => {
    const domain = foreignDomain(api, name);
    return domain.ok ? ok({ trustDomain: domain.value.name, mode }) : domain;
  });
  const outcomes = await runBatch(items, (valid) => api.registry.federation.deleteBundles(valid));
  return outcomes.map((outcome, index) => {
    const trustDomain = names[index] ?? '';
    const deleted = outcome.ok ? judgeDelete(trustDomain, outcome.value) : outcome;
    if (!deleted.ok) return { status: itemStatus(deleted.error), trustDomain };
    audit(api, context, {
      federatedTrustDomain: trustDomain,
      deleteMode: mode,
      entries: deleted.value,
    });
    return { status: OK_STATUS, trustDomain };
  });
}

function judgeDelete(name: string, { outcome, entries }: DeletedFederatedBundle): Result<number> {
  if (outcome === 'deleted') return ok(entries);
  if (outcome === 'missing') return unknownBundle(name);
  return fail(
    'FEDERATED_BUNDLE_IN_USE',
    `cannot delete the bundle of ${name}: federated with ${entries} registration entries`,
  );
}

function unknownBundle(name: string): ReturnType<typeof fail> {
  return fail('BUNDLE_NOT_FOUND', `no bundle of trust domain ${name}`);
}
