import type { TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { ok, type Result } from '../../src/base/result.ts';
import { type Challenge, createChallenges } from '../../src/connectors/enrol/challenges.ts';
import {
  type EnrolContext,
  type EnrolledConnector,
  enrolConnector,
} from '../../src/connectors/enrol/enrol.ts';
import { createEnrolMetrics } from '../../src/connectors/enrol/metrics.ts';
import { createPodFinder } from '../../src/connectors/enrol/pods.ts';
import type { EnrolCaller, EnrolRequest, ShownProof } from '../../src/connectors/enrol/request.ts';
import { enrolText } from '../../src/connectors/enrol/signed-text.ts';
import type { RecordedAct } from '../../src/issuance/ledger-recorder.ts';
import { openKubeApi } from '../../src/kube/kube-api.ts';
import { metaOf } from '../../src/kube/objects.ts';
import { DEFAULT_MAX_STALENESS_MS, type PolicyContext } from '../../src/policy/context.ts';
import { recheckGrant } from '../../src/policy/recheck.ts';
import type { ConnectorGroupDraft } from '../../src/rules/connector/group.ts';
import { createMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import { groupDraft, instanceInfo } from './connector-state.ts';
import { FakeKube } from './fake-kube.ts';
import { makeIssuer, SILENT, startAuthorities } from './issuance.ts';
import { PSAT_NODE, PSAT_POD, PSAT_TOKEN, psatReview } from './k8s-psat.ts';
import { assertValue } from './refused.ts';
import { id, openState, type TestState } from './state.ts';
import { makeCsr, makeKey, signWith, type TestKey } from './x509.ts';

/** Whom tokens of the rig's clusters are for. */
export const CONNECTOR_AUDIENCE = 'signet-connectors';

/** What the rig's API server says of {@link PSAT_TOKEN}, for connectors. */
export function connectorReview(
  extra: Readonly<Record<string, readonly string[]>> = {},
): Record<string, unknown> {
  return { ...psatReview(extra), audiences: [CONNECTOR_AUDIENCE] };
}

/** What a test may change of an enrolment. */
export interface TryOptions {
  readonly key?: TestKey;
  readonly csr?: Uint8Array;
  readonly group?: string;
  readonly challenge?: Uint8Array;
  /** Signs in place of `key`. */
  readonly signer?: TestKey;
  readonly signature?: Uint8Array;
  readonly request?: Partial<EnrolRequest>;
  readonly caller?: Partial<EnrolCaller>;
}

/** Everything that enrols, over a store of its own and two API servers that are not real. */
export interface EnrolRig {
  readonly state: TestState;
  readonly context: EnrolContext;
  readonly policy: PolicyContext;
  readonly metrics: Metrics;
  /** API servers of the clusters `east` and `west`. */
  readonly east: FakeKube;
  readonly west: FakeKube;
  readonly acts: RecordedAct[];
  /** Connectors that have a session open. */
  readonly open: Set<string>;
  challengeFor(key: TestKey): Challenge;
  /** Enrols with a proof, everything else right unless told. */
  enrol(
    proof: ShownProof | ((text: Uint8Array) => ShownProof),
    options?: TryOptions,
  ): Promise<Result<EnrolledConnector>>;
  putGroup(name: string, extra?: Partial<ConnectorGroupDraft>): Promise<void>;
}

/** SHA-256 of the certificate that the rig's server shows. */
export const SHOWN_CERTIFICATE: Uint8Array = Buffer.alloc(32, 7);

/** Sets it up; the group `edge` is there and takes nothing yet. */
export async function enrolRig(
  test: TestContext,
  changes: Partial<EnrolContext> & { readonly policy?: Partial<PolicyContext> } = {},
): Promise<EnrolRig> {
  const state = await openState(test);
  const { registry, clock, random } = state;
  const policy: PolicyContext = {
    registry,
    clock,
    adminIds: [],
    serverUid: 0,
    adminGid: undefined,
    maxStalenessMs: DEFAULT_MAX_STALENESS_MS,
    connectors: registry.connectors,
    ...changes.policy,
  };
  const authority = await startAuthorities({ clock });
  const recheck: Parameters<typeof makeIssuer>[0]['recheck'] = (grant) =>
    recheckGrant(grant, policy);
  const issuer = makeIssuer({ authority, clock, random, workers: 0, recheck });
  const acts: RecordedAct[] = [];
  const [east, west] = await Promise.all([kube(test), kube(test)]);
  const open = new Set<string>();
  const metrics = createMetrics('test');
  const context: EnrolContext = {
    parts: {
      registry,
      connectors: registry.connectors,
      issuer,
      policy,
      clock,
      random,
      log: SILENT,
      recordAct: async (act) => {
        acts.push(act);
        return ok(undefined);
      },
    },
    challenges: createChallenges({ clock, random }),
    pods: createPodFinder({
      clusters: [
        { name: 'east', ...(await cluster(test, east)) },
        { name: 'west', ...(await cluster(test, west)) },
      ],
      audiences: [CONNECTOR_AUDIENCE],
      maxReviews: 4,
    }),
    metrics: createEnrolMetrics(metrics),
    maxClockSkewMs: 300_000,
    isOwnCertificate: (sha256) => Buffer.compare(sha256, SHOWN_CERTIFICATE) === 0,
    isOpen: (connector) => open.has(connector),
    ...changes,
  };
  test.after(() => issuer.close());
  const putGroup: EnrolRig['putGroup'] = async (name, extra) => {
    const write = { draft: groupDraft(name, extra), expectedRevision: undefined };
    assertValue(await registry.connectors.writeConnectorGroups([write]));
  };
  await putGroup('edge');
  const challengeFor: EnrolRig['challengeFor'] = (key) => context.challenges.give(key.spki);
  return {
    ...{ state, context, policy, metrics, east, west, acts, open, putGroup, challengeFor },
    enrol(proof, options = {}) {
      const { key = makeKey(), group = 'edge', signer = key } = options;
      const csr = options.csr ?? makeCsr({ key });
      const challenge = options.challenge ?? challengeFor(key).bytes;
      const text = enrolText(challenge, csr);
      const request: EnrolRequest = {
        csr,
        group,
        instance: instanceInfo(),
        challenge,
        challengeSignature: options.signature ?? signWith(signer, text),
        clockMs: clock.nowMs(),
        serverCertificateSha256: SHOWN_CERTIFICATE,
        cluster: 'east',
        proof: typeof proof === 'function' ? proof(text) : proof,
        ...options.request,
      };
      return enrolConnector(context, request, { ...NOBODY, ...options.caller });
    },
  };
}

const NOBODY: EnrolCaller = {
  remoteAddress: '192.0.2.7',
  peer: { kind: 'anonymous' },
  signal: new AbortController().signal,
};

async function kube(test: TestContext): Promise<FakeKube> {
  const fake = await FakeKube.start();
  test.after(() => fake.stop());
  fake.put('/api/v1/nodes', PSAT_NODE);
  fake.put('/api/v1/pods', PSAT_POD);
  fake.review = (token) => (token === PSAT_TOKEN ? connectorReview() : { authenticated: false });
  return fake;
}

async function cluster(test: TestContext, { kubeconfigPath }: FakeKube) {
  const api = assertValue(await openKubeApi({ kubeconfigPath }, { clock: systemClock }));
  test.after(() => api.close());
  const agentOf = (node: Parameters<typeof metaOf>[0]) =>
    ok(id(`/spire/agent/k8s_psat/east/${metaOf(node).uid}`));
  return { api, agentOf };
}
