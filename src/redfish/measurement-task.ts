import { fail, ok, type Result } from '../base/result.ts';
import type { JsonObject, JsonValue } from '../spiffe/json.ts';
import type { Bmc } from './bmc-client.ts';
import type { IntegrityTarget } from './component-integrity.ts';
import type { BmcAnswer } from './exchange.ts';
import { linkAt, textAt, valueAt } from './fields.ts';
import { pause, pollPauseMs } from './pace.ts';
import type { ResourcePath } from './resource-path.ts';
import {
  childPath,
  isBelow,
  lastSegment,
  parseResourcePath,
  resourcePath,
} from './resource-path.ts';

/** What is done about a task in a state: look again, take the result, or give up. */
export type TaskOutlook = 'running' | 'done' | 'failed';

/** Redfish Task schema, `TaskState`; `Aborted` is no state of it, but what NVIDIA's BMC says. */
export const TASK_STATES: ReadonlyMap<string, TaskOutlook> = new Map<string, TaskOutlook>([
  ['New', 'running'],
  ['Starting', 'running'],
  ['Pending', 'running'],
  ['Running', 'running'],
  ['Service', 'running'],
  ['Suspended', 'running'],
  ['Interrupted', 'running'],
  ['Stopping', 'running'],
  ['Cancelling', 'running'],
  ['Completed', 'done'],
  ['Cancelled', 'failed'],
  ['Killed', 'failed'],
  ['Exception', 'failed'],
  ['Aborted', 'failed'],
]);

const TASKS = resourcePath('/redfish/v1/TaskService');
const MAX_HEADERS = 64;

/** What a collection is asked for with. */
export interface MeasurementsAsked {
  readonly nonce: Uint8Array;
  readonly slot: number;
  /** All of them where absent. */
  readonly indices?: readonly number[] | undefined;
}

/**
 * Starts a collection and waits for its end; answers the object that holds the measurements. Fails with
 * REDFISH_BUSY, REDFISH_TASK_FAILED, REDFISH_TASK_GONE, REDFISH_TASK_UNKNOWN_STATE and what answers are
 * refused with.
 */
export async function collectOnce(
  bmc: Bmc,
  target: IntegrityTarget,
  asked: MeasurementsAsked,
  signal: AbortSignal,
): Promise<Result<JsonObject>> {
  const body = {
    Nonce: Buffer.from(asked.nonce).toString('hex'),
    SlotId: asked.slot,
    MeasurementIndices: asked.indices ?? [255],
  };
  const started = await bmc.post(target.action, body, { signal });
  if (!started.ok) return started;
  // A BMC may answer at once, without a task.
  if (started.value.body?.has('SignedMeasurements') === true) return ok(started.value.body);
  const task = taskOf(bmc.origin, started.value);
  if (!task.ok) return task;
  const ended = await waitForEnd(bmc, task.value, signal);
  if (!ended.ok) return ended;
  const result = resultOf(bmc.origin, target, ended.value);
  return result.ok ? bmc.get(result.value, { signal }) : result;
}

/** Where the task is: what the answer says, or its header, which names the task's monitor. */
function taskOf(origin: string, { status, headers, body }: BmcAnswer): Result<ResourcePath> {
  if (status !== 202) {
    return fail('REDFISH_ANSWER_SHAPE', `measurements: neither a result nor a task (${status})`);
  }
  const inBody = body === undefined ? ok(undefined) : linkAt(origin, body);
  if (!inBody.ok) return inBody;
  const monitor = (inBody.value ?? headers.location ?? '').replace(/\/Monitor\/?$/, '');
  const task = parseResourcePath(monitor, origin);
  if (!task.ok || isBelow(task.value, TASKS)) return task;
  return fail('REDFISH_PATH', 'the task of a collection is none of the task service');
}

/**
 * Looks at the task itself, not at its monitor: that one answers once and is gone. Fails with
 * REDFISH_TIMEOUT when the signal ends the wait.
 */
async function waitForEnd(
  bmc: Bmc,
  task: ResourcePath,
  signal: AbortSignal,
): Promise<Result<JsonObject>> {
  const startedMs = bmc.clock.monotonicMs();
  for (;;) {
    const look = await bmc.get(task, { signal });
    if (!look.ok) return look.error.code === 'REDFISH_NOT_FOUND' ? gone(task) : look;
    const state = textAt(look.value, 'TaskState') ?? '';
    const outlook = TASK_STATES.get(state);
    if (outlook === undefined) {
      return fail('REDFISH_TASK_UNKNOWN_STATE', `the task is in the state "${state}"`);
    }
    const critical = textAt(look.value, 'TaskStatus') === 'Critical';
    if (outlook === 'failed' || (outlook === 'done' && critical)) {
      return fail('REDFISH_TASK_FAILED', `the task ended as ${state}`);
    }
    if (outlook === 'done') return ok(look.value);
    const waitMs = pollPauseMs(bmc.pace, bmc.clock.monotonicMs() - startedMs);
    if (!(await pause(bmc.clock, waitMs, signal))) {
      return fail('REDFISH_TIMEOUT', `the task is still ${state} at the end of the time there is`);
    }
  }
}

function gone(task: ResourcePath): Result<JsonObject> {
  return fail('REDFISH_TASK_GONE', `the BMC does not know ${lastSegment(task)} any more`);
}

/**
 * Where the result is: the `Location` among the headers of the task's payload, else `data` below the
 * action. It must belong to the component that was asked: another's result is another's.
 */
function resultOf(origin: string, target: IntegrityTarget, task: JsonObject): Result<ResourcePath> {
  const headers = valueAt(task, 'Payload', 'HttpHeaders');
  // Narrowing by Array.isArray does not reach readonly arrays.
  const list: readonly JsonValue[] = Array.isArray(headers) ? headers.slice(0, MAX_HEADERS) : [];
  const locations = list
    .map((line) => (typeof line === 'string' ? /^location:\s*(\S+)\s*$/i.exec(line) : null))
    .flatMap((match) => (match?.[1] === undefined ? [] : [match[1]]));
  const location = locations.at(-1);
  if (location === undefined) return childPath(target.action, 'data');
  const path = parseResourcePath(location, origin);
  if (path.ok && !isBelow(path.value, target.path)) {
    return fail('REDFISH_PATH', `the result of ${target.id} lies at another component`);
  }
  return path;
}
