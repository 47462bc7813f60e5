import type { Result } from '../base/result.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../spiffe/json.ts';
import { valueAt } from './fields.ts';

/**
 * What a BMC said of the state of its card, each resource by itself: one that could not be read is a
 * refusal here, and never a finding. No root of trust signs any of it.
 */
export interface PostureReadings {
  /** `Systems/…/Oem/Nvidia`: mode, RShim. */
  readonly oem: Result<JsonObject>;
  readonly bios: Result<JsonObject>;
  readonly secureBoot: Result<JsonObject>;
  /** Single privileges of the host. */
  readonly hostPrivileges: Result<JsonObject>;
  readonly firmware: Result<ReadonlyMap<string, string>>;
}

/** What is concluded of one matter: a value, that nobody tells, or that two places contradict. */
export interface PostureFact<T extends string> {
  readonly value: T | 'unknown' | 'contradictory';
  /** What was told where, such as `Oem/Nvidia Mode=DpuMode`; the code where it could not be read. */
  readonly sources: readonly string[];
}

/** Claims of a BMC about its card, for policy to demand and people to see: advisory, never proof. */
export interface PostureFacts {
  readonly claimedBy: 'bmc';
  readonly mode: PostureFact<'dpu' | 'nic'>;
  readonly hostPrivilege: PostureFact<'restricted' | 'privileged'>;
  readonly hostRshim: PostureFact<'off' | 'on'>;
  readonly secureBoot: PostureFact<'on' | 'off'>;
  /** Versions by the name of the firmware; none where they could not be read. */
  readonly firmware: ReadonlyMap<string, string>;
}

/** What one place told of a matter. */
interface Claim<T extends string> {
  readonly source: string;
  /** Undefined where it tells nothing, or something that nobody here knows. */
  readonly means: T | undefined;
  /** Whether it told something that nobody here knows. */
  readonly strange: boolean;
}

/** Where something is told, and what its values mean. */
interface Place<T extends string> {
  readonly resource: Result<JsonObject>;
  readonly name: string;
  readonly keys: readonly string[];
  readonly meanings: Readonly<Record<string, T>>;
}

/** Values by which firmware says that it does not tell. */
const SILENT: readonly string[] = ['', 'Unavailable', 'Default'];
const MAX_SHOWN_CHARACTERS = 64;

/**
 * What follows from what was read (posture of a card). A good value needs somebody who says it and
 * nobody who says another: places that tell something must agree, and what nobody here knows counts
 * against all.
 */
export function concludePosture(readings: PostureReadings): PostureFacts {
  const { oem, firmware } = readings;
  const rshim = { Disabled: 'off', Enabled: 'on' } as const;
  return {
    claimedBy: 'bmc',
    mode: conclude(modeClaims(readings)),
    hostPrivilege: conclude(privilegeClaims(readings)),
    hostRshim: conclude([
      read({ resource: oem, name: 'Oem/Nvidia', keys: ['HostRshim'], meanings: rshim }),
    ]),
    secureBoot: concludeAll(secureBootClaims(readings)),
    firmware: firmware.ok ? firmware.value : new Map(),
  };
}

/**
 * Selector values of facts that are good: `mode:dpu`, `host-privilege:restricted`, `host-rshim:off` and
 * `secure-boot:on`. Whatever is not is left out, so that no selector ever stands for a lack.
 */
export function postureSelectors(facts: PostureFacts): readonly string[] {
  return [
    ...(facts.mode.value === 'dpu' ? ['mode:dpu'] : []),
    ...(facts.hostPrivilege.value === 'restricted' ? ['host-privilege:restricted'] : []),
    ...(facts.hostRshim.value === 'off' ? ['host-rshim:off'] : []),
    ...(facts.secureBoot.value === 'on' ? ['secure-boot:on'] : []),
  ];
}

function modeClaims({ oem, bios }: PostureReadings): readonly Claim<'dpu' | 'nic'>[] {
  const meanings = { DpuMode: 'dpu', NicMode: 'nic' } as const;
  return [
    read({ resource: oem, name: 'Oem/Nvidia', keys: ['Mode'], meanings }),
    read({ resource: bios, name: 'Bios', keys: ['Attributes', 'NicMode'], meanings }),
  ];
}

function privilegeClaims(readings: PostureReadings): readonly Claim<'restricted' | 'privileged'>[] {
  const { bios: resource, hostPrivileges } = readings;
  const meanings = { Restricted: 'restricted', Privileged: 'privileged' } as const;
  const at = (key: string) => read({ resource, name: 'Bios', keys: ['Attributes', key], meanings });
  // Older firmware writes the name of the attribute with spaces.
  const level = [at('HostPrivilegeLevel'), at('Host Privilege Level')];
  return [...level, ...singlePrivileges(hostPrivileges)];
}

/** A privilege that is switched on is one, whatever the level says; one that is off proves no level. */
function singlePrivileges(resource: Result<JsonObject>): readonly Claim<'privileged'>[] {
  const single = resource.ok ? valueAt(resource.value, 'ExternalHostPrivilege') : undefined;
  if (!isJsonObject(single)) return [];
  return [...single.keys()].map((key) =>
    read({
      resource,
      name: 'ExternalHostPrivileges',
      keys: ['ExternalHostPrivilege', key],
      meanings: { Enabled: 'privileged' },
      silent: ['Disabled'],
    }),
  );
}

/** Switched on, in force since this boot, and with keys of its own: setup mode checks nothing. */
function secureBootClaims({
  secureBoot: resource,
}: PostureReadings): readonly Claim<'on' | 'off'>[] {
  const name = 'SecureBoot';
  const modes = { UserMode: 'on', DeployedMode: 'on', SetupMode: 'off', AuditMode: 'off' } as const;
  return [
    read({ resource, name, keys: ['SecureBootEnable'], meanings: { true: 'on', false: 'off' } }),
    read({
      resource,
      name,
      keys: ['SecureBootCurrentBoot'],
      meanings: { Enabled: 'on', Disabled: 'off' },
    }),
    read({ resource, name, keys: ['SecureBootMode'], meanings: modes }),
  ];
}

function read<T extends string>(
  place: Place<T> & { readonly silent?: readonly string[] },
): Claim<T> {
  const { resource, name, keys, meanings, silent = [] } = place;
  const what = `${name} ${keys.at(-1)}`;
  if (!resource.ok) {
    return { source: `${what}: ${resource.error.code}`, means: undefined, strange: false };
  }
  const value = valueAt(resource.value, ...keys);
  const text = shown(value);
  const means = Object.hasOwn(meanings, text) ? meanings[text] : undefined;
  const nothing = SILENT.includes(text) || silent.includes(text);
  return { source: `${what}=${text}`, means, strange: means === undefined && !nothing };
}

function shown(value: JsonValue | undefined): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'object') return '(no text)';
  const text = String(value).trim();
  return /^[\x20-\x7e]*$/.test(text) ? text.slice(0, MAX_SHOWN_CHARACTERS) : '(no text)';
}

function conclude<T extends string>(claims: readonly Claim<T>[]): PostureFact<T> {
  const sources = claims.map(({ source }) => source);
  const told = claims.flatMap(({ means }) => (means === undefined ? [] : [means]));
  const [first] = told;
  if (first === undefined || claims.some(({ strange }) => strange)) {
    return { value: 'unknown', sources };
  }
  return { value: told.every((each) => each === first) ? first : 'contradictory', sources };
}

/** Where every place has to say it. */
function concludeAll<T extends string>(claims: readonly Claim<T>[]): PostureFact<T> {
  const fact = conclude(claims);
  if (claims.every(({ means }) => means !== undefined)) return fact;
  return { value: 'unknown', sources: fact.sources };
}

/** Selector values of a posture as names and values. */
export function postureClaims(selectors: readonly string[]): Readonly<Record<string, string>> {
  const claims = selectors.map((selector) => {
    const colon = selector.indexOf(':');
    return [selector.slice(0, colon), selector.slice(colon + 1)] as const;
  });
  return Object.fromEntries(claims);
}
