import type { Clock } from '../../../base/clock.ts';
import { collection, link, type MockResource } from './card.ts';

/** What a client asked a root of trust for. */
export interface MockRequest {
  readonly nonce: Uint8Array;
  readonly slot: number;
  readonly indices: readonly number[];
}

/** What a root of trust answers, with the labels that its BMC puts on it. */
export interface MockResult {
  readonly signedMeasurements: Uint8Array;
  readonly version?: string;
  readonly hashingAlgorithm?: string;
  readonly signingAlgorithm?: string;
}

/** A root of trust behind a mock BMC. */
export interface MockTarget {
  /** Chassis that has its certificates. */
  readonly chassis: string;
  readonly chainPem: () => string;
  readonly measure: (request: MockRequest) => MockResult | Promise<MockResult>;
}

/** An answer over HTTP. */
export interface MockAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: MockResource | string;
}

interface Task {
  state: string;
  readonly headers: string[];
}

const ROOT = '/redfish/v1';
const COMPONENTS = `${ROOT}/ComponentIntegrity`;
const TASKS = `${ROOT}/TaskService/Tasks`;
const ACTION = 'ComponentIntegrity.SPDMGetSignedMeasurements';
/** The hint that the real one gives, whatever it does. */
const RETRY_SECONDS = '300';

/**
 * Collections of a mock BMC, as the real one does them: one at a time for each target, in a task whose
 * payload names where the result is; and one place for the latest result, whoever asked for it.
 */
export class MockMeasurements {
  readonly #targets: Readonly<Record<string, MockTarget>>;
  readonly #clock: Clock;
  readonly #tasks: Task[] = [];
  readonly #latest = new Map<string, MockResult>();
  readonly #running = new Set<string>();
  /** How long a collection takes. */
  taskMs = 0;
  /** Collections begun, by target. */
  readonly begun = new Map<string, number>();
  /** Requests refused because one ran. */
  refused = 0;
  /** State in which tasks end; `Completed` unless told. */
  endState = 'Completed';
  /** Put in front of a result, by whoever may have collected in between; undefined leaves it. */
  overwrite: (target: string) => MockResult | undefined = () => undefined;

  constructor(targets: Readonly<Record<string, MockTarget>>, clock: Clock) {
    this.#targets = targets;
    this.#clock = clock;
  }

  /** Forgets its tasks, as a BMC that starts anew. */
  forget(): void {
    this.#tasks.length = 0;
  }

  /** The resources of components, certificates and tasks. */
  get(path: string, expanded: boolean): MockAnswer | undefined {
    if (path === COMPONENTS) return { status: 200, body: this.#components(expanded) };
    if (path.startsWith(`${TASKS}/`)) return this.#task(path.slice(TASKS.length + 1));
    for (const [id, target] of Object.entries(this.#targets)) {
      if (path === `${COMPONENTS}/${id}`) return { status: 200, body: component(id, target) };
      if (path === `${COMPONENTS}/${id}/Actions/${ACTION}/data`) return this.#result(id);
      if (path === certificatePath(target)) return { status: 200, body: certificate(target) };
    }
    return undefined;
  }

  /** Begins a collection where the path is one's action. */
  post(path: string, body: MockResource): MockAnswer | undefined {
    const id = Object.keys(this.#targets).find((each) => path === actionPath(each));
    const target = id === undefined ? undefined : this.#targets[id];
    if (id === undefined || target === undefined) return undefined;
    const nonce = typeof body.Nonce === 'string' ? body.Nonce : '00'.repeat(32);
    if (!/^[0-9a-fA-F]{64}$/.test(nonce))
      return { status: 400, body: errorBody('ActionParameterValueError') };
    if (this.#running.has(id)) {
      this.refused += 1;
      const headers = { 'retry-after': RETRY_SECONDS };
      return { status: 503, headers, body: errorBody('ServiceTemporarilyUnavailable') };
    }
    const asked = { nonce: Buffer.from(nonce, 'hex'), slot: Number(body.SlotId ?? 0) };
    const indices = Array.isArray(body.MeasurementIndices)
      ? body.MeasurementIndices.map(Number)
      : [255];
    return this.#begin(id, target, { ...asked, indices });
  }

  #begin(id: string, target: MockTarget, request: MockRequest): MockAnswer {
    this.#running.add(id);
    this.begun.set(id, (this.begun.get(id) ?? 0) + 1);
    const task: Task = { state: 'Running', headers: ['Host: mock'] };
    const number = this.#tasks.push(task) - 1;
    this.#clock.after(this.taskMs, () => void this.#finish(id, target, request, task));
    const headers = { location: `${TASKS}/${number}/Monitor`, 'retry-after': '30' };
    return { status: 202, headers, body: taskResource(number, task) };
  }

  async #finish(id: string, target: MockTarget, request: MockRequest, task: Task): Promise<void> {
    try {
      const result = await target.measure(request);
      this.#latest.set(id, this.overwrite(id) ?? result);
      task.headers.push(`Location: ${actionPath(id)}/data`);
      task.state = this.endState;
    } catch {
      task.state = 'Aborted';
    } finally {
      this.#running.delete(id);
    }
  }

  #components(expanded: boolean): MockResource {
    const members = Object.entries(this.#targets).map(([id, target]) =>
      expanded ? component(id, target) : link(`${COMPONENTS}/${id}`),
    );
    return collection(COMPONENTS, 'ComponentIntegrityCollection', members);
  }

  #task(name: string): MockAnswer {
    const task = this.#tasks[Number(name)];
    if (task === undefined) return { status: 404, body: errorBody('ResourceNotFound') };
    return { status: 200, body: taskResource(Number(name), task) };
  }

  #result(id: string): MockAnswer {
    const result = this.#latest.get(id);
    return {
      status: 200,
      body: {
        SignedMeasurements: Buffer.from(result?.signedMeasurements ?? []).toString('base64'),
        Version: result?.version ?? '1.1.0',
        HashingAlgorithm: result?.hashingAlgorithm ?? 'TPM_ALG_SHA_384',
        SigningAlgorithm: result?.signingAlgorithm ?? 'TPM_ALG_ECDSA_ECC_NIST_P384',
      },
    };
  }
}

/** An error object as Redfish has it. */
export function errorBody(name: string): MockResource {
  return { error: { code: `Base.1.15.0.${name}`, message: `A mock says ${name}.` } };
}

function actionPath(id: string): string {
  return `${COMPONENTS}/${id}/Actions/${ACTION}`;
}

function certificatePath({ chassis }: MockTarget): string {
  return `${ROOT}/Chassis/${chassis}/Certificates/CertChain`;
}

function component(id: string, target: MockTarget): MockResource {
  return {
    '@odata.id': `${COMPONENTS}/${id}`,
    '@odata.type': '#ComponentIntegrity.v1_0_0.ComponentIntegrity',
    Actions: {
      [`#${ACTION}`]: {
        '@Redfish.ActionInfo': `${COMPONENTS}/${id}/SPDMGetSignedMeasurementsActionInfo`,
        target: actionPath(id),
      },
    },
    ComponentIntegrityEnabled: true,
    ComponentIntegrityType: 'SPDM',
    ComponentIntegrityTypeVersion: '1.1.0',
    Id: id,
    // Not a list of links: so the real one writes it.
    Links: { ComponentsProtected: [[['@odata.id', `${ROOT}/Managers/Bluefield_BMC`]]] },
    SPDM: {
      IdentityAuthentication: {
        ResponderAuthentication: { ComponentCertificate: link(certificatePath(target)) },
      },
      Requester: link(`${ROOT}/Managers/Bluefield_BMC`),
    },
    TargetComponentURI: `${ROOT}/Chassis/${target.chassis}`,
  };
}

function certificate(target: MockTarget): MockResource {
  return {
    '@odata.id': certificatePath(target),
    '@odata.type': '#Certificate.v1_5_0.Certificate',
    CertificateString: target.chainPem(),
    CertificateType: 'PEMchain',
    CertificateUsageTypes: ['Device'],
    Id: 'CertChain',
    SPDM: { SlotId: 0 },
  };
}

function taskResource(number: number, task: Task): MockResource {
  return {
    '@odata.id': `${TASKS}/${number}`,
    '@odata.type': '#Task.v1_4_3.Task',
    Id: `${number}`,
    Payload: { HttpHeaders: task.headers, HttpOperation: 'POST' },
    TaskState: task.state,
    TaskStatus: 'OK',
  };
}
