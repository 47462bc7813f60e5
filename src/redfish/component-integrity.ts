import { fail, ok, type Result } from '../base/result.ts';
import type { JsonObject } from '../spiffe/json.ts';
import { type Bmc, type BmcCall, SERVICE_ROOT } from './bmc-client.ts';
import { linkAt, membersOf, textAt, valueAt } from './fields.ts';
import {
  childPath,
  isBelow,
  lastSegment,
  parseResourcePath,
  type ResourcePath,
} from './resource-path.ts';

/** What the service root of a BMC says. */
export interface ServiceRoot {
  /** UUID of the BMC's service, lower case; undefined where it tells none. */
  readonly uuid: string | undefined;
  readonly vendor: string | undefined;
  readonly product: string | undefined;
  /** Collection of components with an integrity protocol; undefined where the firmware has none. */
  readonly componentIntegrity: ResourcePath | undefined;
}

/** A component that can be asked for signed measurements. */
export interface IntegrityTarget {
  /** Such as `Bluefield_DPU_IRoT`. */
  readonly id: string;
  readonly path: ResourcePath;
  /** Where the measurements are asked for. */
  readonly action: ResourcePath;
  /** Where its certificate chain is read. */
  readonly certificate: ResourcePath;
}

const GET_MEASUREMENTS = 'ComponentIntegrity.SPDMGetSignedMeasurements';
const MAX_COMPONENTS = 64;
/** Firmware that does not know the query answers with one of these; it is then asked without. */
const NO_QUERY = ['REDFISH_REFUSED', 'REDFISH_NOT_FOUND', 'REDFISH_FAULT'];

/** Reads the service root. */
export async function readServiceRoot(bmc: Bmc, call?: BmcCall): Promise<Result<ServiceRoot>> {
  const root = await bmc.get(SERVICE_ROOT, call);
  if (!root.ok) return root;
  const link = linkAt(bmc.origin, root.value, 'ComponentIntegrity');
  if (!link.ok) return link;
  return ok({
    uuid: textAt(root.value, 'UUID')?.toLowerCase(),
    vendor: textAt(root.value, 'Vendor'),
    product: textAt(root.value, 'Product'),
    componentIntegrity: link.value,
  });
}

/**
 * The component of that name, usable. Fails with REDFISH_NO_ATTESTATION, REDFISH_TARGET_UNKNOWN,
 * REDFISH_TARGET_UNUSABLE and what answers are refused with.
 */
export async function findTarget(
  bmc: Bmc,
  { componentIntegrity }: ServiceRoot,
  id: string,
  call?: BmcCall,
): Promise<Result<IntegrityTarget>> {
  if (componentIntegrity === undefined) {
    return fail('REDFISH_NO_ATTESTATION', 'the service root has no ComponentIntegrity');
  }
  const components = await listComponents(bmc, componentIntegrity, call);
  if (!components.ok) return components;
  const found = components.value.find(({ path }) => lastSegment(path) === id);
  if (found === undefined) {
    return fail('REDFISH_TARGET_UNKNOWN', `the BMC has no component ${id}`);
  }
  const whole = found.resource.has('Actions')
    ? ok(found.resource)
    : await bmc.get(found.path, call);
  return whole.ok ? readTarget(bmc.origin, found.path, whole.value) : whole;
}

/**
 * Names of the components that can be asked for signed measurements, in the BMC's order. Fails with
 * REDFISH_NO_ATTESTATION and what answers are refused with.
 */
export async function listTargets(bmc: Bmc, call?: BmcCall): Promise<Result<readonly string[]>> {
  const root = await readServiceRoot(bmc, call);
  if (!root.ok) return root;
  const { componentIntegrity } = root.value;
  if (componentIntegrity === undefined) {
    return fail('REDFISH_NO_ATTESTATION', 'the service root has no ComponentIntegrity');
  }
  const components = await listComponents(bmc, componentIntegrity, call);
  if (!components.ok) return components;
  const usable: string[] = [];
  for (const { path, resource } of components.value) {
    const whole = resource.has('Actions') ? ok(resource) : await bmc.get(path, call);
    if (!whole.ok) return whole;
    const target = readTarget(bmc.origin, path, whole.value);
    if (target.ok) usable.push(target.value.id);
  }
  return ok(usable);
}

interface Component {
  readonly path: ResourcePath;
  /** The whole of it where the collection was expanded, else its link. */
  readonly resource: JsonObject;
}

/** The components of a BMC, expanded where it knows how. */
async function listComponents(
  bmc: Bmc,
  path: ResourcePath,
  call?: BmcCall,
): Promise<Result<readonly Component[]>> {
  const expanded = await bmc.get(path, { ...call, query: '$expand=.($levels=1)' });
  const unknownQuery = !expanded.ok && NO_QUERY.includes(expanded.error.code);
  const collection = unknownQuery ? await bmc.get(path, call) : expanded;
  if (!collection.ok) return collection;
  const members = membersOf(collection.value, MAX_COMPONENTS);
  if (!members.ok) return members;
  const components: Component[] = [];
  for (const resource of members.value) {
    const link = linkAt(bmc.origin, resource);
    if (!link.ok) return link;
    if (link.value === undefined || !isBelow(link.value, path)) {
      return fail('REDFISH_ANSWER_SHAPE', 'a component without a link below its collection');
    }
    components.push({ path: link.value, resource });
  }
  return ok(components);
}

/** One ComponentIntegrity resource. The version that it names is a label, and not read. */
function readTarget(
  origin: string,
  path: ResourcePath,
  resource: JsonObject,
): Result<IntegrityTarget> {
  const id = lastSegment(path);
  const enabled = resource.get('ComponentIntegrityEnabled') === true;
  if (!enabled || resource.get('ComponentIntegrityType') !== 'SPDM') {
    return fail('REDFISH_TARGET_UNUSABLE', `${id} is switched off or not of type SPDM`);
  }
  const text = valueAt(resource, 'Actions', `#${GET_MEASUREMENTS}`, 'target');
  if (typeof text !== 'string') {
    return fail('REDFISH_TARGET_UNUSABLE', `${id} cannot give signed measurements`);
  }
  const action = parseResourcePath(text, origin);
  if (!action.ok) return action;
  if (!isBelow(action.value, path)) {
    return fail('REDFISH_PATH', `the action of ${id} belongs to another resource`);
  }
  const certificate = certificateOf(origin, resource);
  if (!certificate.ok) return certificate;
  return ok({ id, path, action: action.value, certificate: certificate.value });
}

function certificateOf(origin: string, resource: JsonObject): Result<ResourcePath> {
  const keys = [
    'SPDM',
    'IdentityAuthentication',
    'ResponderAuthentication',
    'ComponentCertificate',
  ];
  const link = linkAt(origin, resource, ...keys);
  if (!link.ok) return link;
  if (link.value !== undefined) return ok(link.value);
  const component = resource.get('TargetComponentURI');
  if (typeof component !== 'string') {
    return fail('REDFISH_ANSWER_SHAPE', 'a component that names neither certificate nor chassis');
  }
  const chassis = parseResourcePath(component, origin);
  return chassis.ok ? childPath(chassis.value, 'Certificates', 'CertChain') : chassis;
}
