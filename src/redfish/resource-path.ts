import { fail, ok, type Result } from '../base/result.ts';

/** A path below `/redfish/v1` on the one BMC it came from; made by {@link parseResourcePath} only. */
export type ResourcePath = string & { readonly resourcePath: unique symbol };

const MAX_PATH_CHARACTERS = 512;
const SEGMENT = /^[A-Za-z0-9_~@:=+(),-][A-Za-z0-9._~@:=+(),-]*$/;

/**
 * A link of an answer. Whoever answers chooses it, so: a path and nothing else, below `/redfish/v1`,
 * no dots that climb, no escapes, no query, no fragment. The whole URL is taken where it is of the
 * same origin, as some BMCs write `Location`. A slash at the end is dropped. Fails with REDFISH_PATH.
 */
export function parseResourcePath(text: string, origin: string): Result<ResourcePath> {
  const path = text.startsWith(`${origin}/`) ? text.slice(origin.length) : text;
  const segments = path.replace(/\/$/, '').split('/').slice(1);
  const [first, second] = segments;
  const wrong =
    path.length > MAX_PATH_CHARACTERS ||
    !path.startsWith('/') ||
    first !== 'redfish' ||
    second !== 'v1' ||
    !segments.every((segment) => SEGMENT.test(segment));
  if (wrong) return fail('REDFISH_PATH', 'a link of the BMC is no plain path below /redfish/v1');
  // The one place where the brand is given: everything above was checked.
  return ok(`/${segments.join('/')}` as ResourcePath);
}

/** A path that this program made itself of literals; a TypeError where it is none. */
export function resourcePath(text: string): ResourcePath {
  const parsed = parseResourcePath(text, '');
  if (!parsed.ok) throw new TypeError(`${text} is no path below /redfish/v1`);
  return parsed.value;
}

/** A resource below another, by its names. Fails with REDFISH_PATH where the name is none. */
export function childPath(parent: ResourcePath, ...names: readonly string[]): Result<ResourcePath> {
  // An empty name at the end would pass for the slash that is dropped.
  const whole = [parent, ...names.map((name) => name || '.')].join('/');
  return parseResourcePath(whole, '');
}

/** The last segment: the resource's name as its links have it. */
export function lastSegment(path: ResourcePath): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Whether the path is the parent itself or below it. */
export function isBelow(path: ResourcePath, parent: ResourcePath): boolean {
  return path === parent || path.startsWith(`${parent}/`);
}
