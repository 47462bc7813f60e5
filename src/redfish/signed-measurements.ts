import type { ErrorCode } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { encodePem, parsePem } from '../der/pem.ts';
import { decodeBase64 } from '../spiffe/base64.ts';
import type { JsonObject } from '../spiffe/json.ts';
import type { Bmc } from './bmc-client.ts';
import { findTarget, type IntegrityTarget, readServiceRoot } from './component-integrity.ts';
import { textAt, valueAt } from './fields.ts';
import { collectOnce, type MeasurementsAsked } from './measurement-task.ts';
import { busyPauseMs, deadline, pause } from './pace.ts';

/** Evidence of one root of trust as a BMC hands it out: nothing of it is verified yet. */
export interface RedfishEvidence {
  /** Name of the component that was asked. */
  readonly target: string;
  /** The SPDM messages; they hold our nonce, which tells no more than whose result they are. */
  readonly signedMeasurements: Uint8Array;
  /** Certificates of the slot, in the order of the BMC, which means nothing. */
  readonly certificateChainPem: string;
  /** Labels of the BMC, for people: it writes them wrongly. The messages themselves tell. */
  readonly version: string | undefined;
  readonly hashingAlgorithm: string | undefined;
  readonly signingAlgorithm: string | undefined;
  /** UUID of the BMC's service, lower case. */
  readonly bmcUuid: string | undefined;
}

const MAX_EVIDENCE_BYTES = 64 * 1024;
const MAX_CHAIN_BYTES = 16 * 1024;
const MAX_CERTIFICATES = 8;
const NONCE_BYTES = 32;

/** After these the same collection is made again: nothing is wrong with the device or the BMC. */
const COLLECT_AGAIN: readonly ErrorCode[] = [
  'REDFISH_RESULT_OVERWRITTEN',
  'REDFISH_TASK_GONE',
  'REDFISH_UNREACHABLE',
];

/**
 * Collects signed measurements of a component with our nonce, and its certificate chain. One at a time
 * for each target of this process; waits for a BMC that collects for somebody else; collects again
 * where the result is somebody else's. Ends within `collectionMs` of the client's pace.
 */
export async function collectSignedMeasurements(
  bmc: Bmc,
  target: string,
  asked: MeasurementsAsked,
  { signal: outer }: { readonly signal?: AbortSignal } = {},
): Promise<Result<RedfishEvidence>> {
  if (asked.nonce.length !== NONCE_BYTES) throw new TypeError('a nonce has 32 bytes');
  const { signal, release } = deadline(bmc.clock, bmc.pace.collectionMs, outer);
  try {
    return await bmc.turns.take(`${bmc.origin}/${target}`, signal, () =>
      collect(bmc, target, asked, signal),
    );
  } finally {
    release();
  }
}

async function collect(
  bmc: Bmc,
  name: string,
  asked: MeasurementsAsked,
  signal: AbortSignal,
): Promise<Result<RedfishEvidence>> {
  const root = await readServiceRoot(bmc, { signal });
  if (!root.ok) return root;
  const target = await findTarget(bmc, root.value, name, { signal });
  if (!target.ok) return target;
  const measured = await collectOurs(bmc, target.value, asked, signal);
  if (!measured.ok) return measured;
  // After the measurements: a card that started anew in between has a new leaf, which then does not
  // verify them; read before, an old chain could stand beside new measurements the same way.
  const chain = await bmc.get(target.value.certificate, { signal });
  if (!chain.ok) return chain;
  const pem = readChain(chain.value, asked.slot);
  if (!pem.ok) return pem;
  const { answer, signedMeasurements } = measured.value;
  return ok({
    target: name,
    signedMeasurements,
    certificateChainPem: pem.value,
    version: textAt(answer, 'Version'),
    hashingAlgorithm: textAt(answer, 'HashingAlgorithm'),
    signingAlgorithm: textAt(answer, 'SigningAlgorithm'),
    bmcUuid: root.value.uuid,
  });
}

interface Measured {
  readonly answer: JsonObject;
  readonly signedMeasurements: Uint8Array;
}

/** Until a result holds our nonce, or a bound is met: attempts, the wait for a busy BMC, the deadline. */
async function collectOurs(
  bmc: Bmc,
  target: IntegrityTarget,
  asked: MeasurementsAsked,
  signal: AbortSignal,
): Promise<Result<Measured>> {
  const busyUntilMs = bmc.clock.monotonicMs() + bmc.pace.busyWaitMs;
  for (let attempts = 1; ; ) {
    const answer = await collectOnce(bmc, target, asked, signal);
    const measured = answer.ok ? readMeasurements(answer.value, asked.nonce) : answer;
    if (measured.ok) return measured;
    const { code, details } = measured.error;
    const busy = code === 'REDFISH_BUSY' && bmc.clock.monotonicMs() < busyUntilMs;
    const again = COLLECT_AGAIN.includes(code) && attempts < bmc.pace.attempts;
    if (!busy && !again) return measured;
    if (again) attempts += 1;
    const hint = typeof details.retryAfterMs === 'number' ? details.retryAfterMs : undefined;
    if (!(await pause(bmc.clock, busyPauseMs(bmc.pace, hint, bmc.random), signal))) return measured;
  }
}

/** The result object. Whose it is, is told by the nonce in the messages: 32 random bytes of ours. */
function readMeasurements(answer: JsonObject, nonce: Uint8Array): Result<Measured> {
  const text = answer.get('SignedMeasurements');
  if (typeof text !== 'string' || text === '') {
    return fail('REDFISH_EVIDENCE_MALFORMED', 'the result has no signed measurements');
  }
  if (text.length > (MAX_EVIDENCE_BYTES * 4) / 3 + 4) return tooLarge('signed measurements');
  const signedMeasurements = decodeBase64(text);
  if (signedMeasurements === undefined) {
    return fail('REDFISH_EVIDENCE_MALFORMED', 'the signed measurements are not strict base64');
  }
  if (signedMeasurements.length > MAX_EVIDENCE_BYTES) return tooLarge('signed measurements');
  if (!Buffer.from(signedMeasurements).includes(nonce)) {
    return fail('REDFISH_RESULT_OVERWRITTEN', 'the signed measurements do not hold our nonce');
  }
  return ok({ answer, signedMeasurements });
}

/**
 * The Certificate resource of a chain, as PEM of certificates and nothing else. Which is the root and
 * which the leaf is for those to find out who verify.
 */
function readChain(resource: JsonObject, slot: number): Result<string> {
  const told = valueAt(resource, 'SPDM', 'SlotId');
  if (told !== undefined && told !== slot) {
    return fail('REDFISH_CHAIN_SLOT', `the chain is not that of slot ${slot}`);
  }
  const text = resource.get('CertificateString');
  if (typeof text !== 'string') {
    return fail('REDFISH_CHAIN_MALFORMED', 'the certificate resource has no text');
  }
  const blocks = parsePem(text, { maxBytes: MAX_CHAIN_BYTES, maxBlocks: MAX_CERTIFICATES });
  if (!blocks.ok && text.length > MAX_CHAIN_BYTES) return tooLarge('certificate chain');
  const certificates = blocks.ok ? blocks.value : [];
  if (certificates.length === 0 || !certificates.every(({ label }) => label === 'CERTIFICATE')) {
    return fail('REDFISH_CHAIN_MALFORMED', `not 1 to ${MAX_CERTIFICATES} certificates in PEM`);
  }
  return ok(certificates.map(({ label, der }) => encodePem(label, der)).join(''));
}

function tooLarge(what: string): Result<never> {
  return fail('REDFISH_EVIDENCE_TOO_LARGE', `the ${what} of the BMC`);
}
