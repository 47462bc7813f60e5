import { fail, ok, type Result } from '../base/result.ts';
import type { ConnectorAdminClient } from '../gen/signet/connector/v1/admin.ts';
import {
  allPages,
  CONNECTOR_PAGE_SIZE,
  type ConnectorCall,
  printAll,
  printOut,
  withConnectors,
} from './connector-calls.ts';
import { DATA_FLAG, GROUP_FLAG, oneArg } from './connector-flags.ts';
import { readData } from './files.ts';
import { flagError } from './flags.ts';
import { batchResult, type UnaryCall } from './remote.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from './spec.ts';
import { safe } from './text.ts';

/** One of the service as it answers it, with what it was written from. */
interface Known<S> {
  readonly spec: S | undefined;
  readonly revision: bigint;
}

/** A page of a list, and the token of the next one; empty at the end. */
interface ThingPage<W> {
  readonly items: readonly W[];
  readonly nextPageToken: string;
}

/** What differs between things that are made by flags or from a file: groups and segments. */
export interface ThingKind<W extends Known<S>, S> {
  readonly noun: string;
  readonly nouns: string;
  /** What help calls its name. */
  readonly arg: string;
  /** Flags that describe one, and the one that empties a list of it. */
  readonly flags: readonly FlagSpec[];
  readonly clear: FlagSpec;
  /** One of this name, as it is where nothing is said of it. */
  readonly blank: (name: string) => S;
  readonly nameOf: (spec: S) => string;
  /** One whose lists that these flags give are empty. Fails with CLI_USAGE. */
  readonly cleared: (before: S, flags: readonly string[]) => Result<S>;
  /** One with what the flags say in place of what it has. Fails with CLI_USAGE. */
  readonly fromFlags: (before: S, input: Input) => Result<S>;
  /** Reads a file. Fails with CLI_DATA_INVALID. */
  readonly parse: (bytes: Uint8Array) => Result<readonly S[]>;
  readonly toJson: (thing: W) => unknown;
  readonly format: (thing: W, io: CliIo) => string;
  readonly formatAll: (things: readonly W[], io: CliIo) => string;
  readonly get: (client: ConnectorAdminClient, name: string) => UnaryCall<W>;
  readonly put: (client: ConnectorAdminClient, spec: S, expectedRevision: bigint) => UnaryCall<W>;
  readonly remove: (client: ConnectorAdminClient, name: string) => UnaryCall<unknown>;
  readonly page: (
    call: ConnectorCall,
    request: {
      readonly group: string;
      readonly pageSize: number;
      readonly pageToken: string;
    },
  ) => Promise<Result<ThingPage<W>>>;
}

/** What help says of one command. */
export interface ThingHelp {
  readonly about?: string;
  readonly examples: readonly string[];
}

const UPDATE =
  'Changes what the flags name; a list that is given takes the place of the one before.';

/** `create`: by flags, or all of a file. */
export function createThing<W extends Known<S>, S>(
  kind: ThingKind<W, S>,
  help: ThingHelp,
): CommandSpec {
  return {
    ...{ connects: 'server', prints: true, args: kind.arg, ...help },
    flags: [...kind.flags, DATA_FLAG],
    run: (input, io) => putThings(kind, 'create', input, io),
  };
}

/** `update`: of what is there, what flags name, or the whole as a file has it. */
export function updateThing<W extends Known<S>, S>(
  kind: ThingKind<W, S>,
  help: Pick<ThingHelp, 'examples'>,
): CommandSpec {
  return {
    ...{ connects: 'server', prints: true, args: kind.arg, ...help },
    about: `${UPDATE} A file takes the place of the whole ${kind.noun}.`,
    flags: [...kind.flags, kind.clear, DATA_FLAG],
    run: (input, io) => putThings(kind, 'update', input, io),
  };
}

/** `show`. */
export function showThing<W extends Known<S>, S>(
  kind: ThingKind<W, S>,
  help: ThingHelp,
): CommandSpec {
  return {
    ...{ connects: 'server', prints: true, args: kind.arg, flags: [], ...help },
    run: (input, io) =>
      withNamed(kind, input, io, async (call, name) => {
        const thing = await getThing(kind, call, name);
        if (!thing.ok) return thing;
        printOut(input, io, kind.toJson(thing.value), () => kind.format(thing.value, io));
        return ok(undefined);
      }),
  };
}

/** `list`. */
export function listThings<W extends Known<S>, S>(
  kind: ThingKind<W, S>,
  help: ThingHelp & { readonly flags: readonly FlagSpec[] },
): CommandSpec {
  return {
    ...{ connects: 'server', prints: true, ...help },
    run: (input, io) =>
      withConnectors(input, io, async (call) => {
        // Groups are not listed by their group: that command has no such flag.
        const group = (help.flags.length > 0 ? input.text(GROUP_FLAG.name) : undefined) ?? '';
        const things = await allPages(
          (pageToken) => kind.page(call, { group, pageSize: CONNECTOR_PAGE_SIZE, pageToken }),
          ({ items }) => items,
        );
        if (things.ok) printAll(input, io, things.value, kind);
        return things.ok ? ok(undefined) : things;
      }),
  };
}

/** `delete`. */
export function deleteThing<W extends Known<S>, S>(
  kind: ThingKind<W, S>,
  help: ThingHelp,
): CommandSpec {
  return {
    ...{ connects: 'server', args: kind.arg, flags: [], ...help },
    run: (input, io) =>
      withNamed(kind, input, io, async (call, name) => {
        const deleted = await call(`deleting the ${kind.noun}`, (client) =>
          kind.remove(client, name),
        );
        if (!deleted.ok) return deleted;
        io.out(`Deleted ${kind.noun} ${safe(name)}\n`);
        return ok(undefined);
      }),
  };
}

async function withNamed<W extends Known<S>, S>(
  kind: ThingKind<W, S>,
  input: Input,
  io: CliIo,
  work: (call: ConnectorCall, name: string) => Promise<Result<void>>,
): Promise<Result<void>> {
  const name = nameArg(kind, input);
  return name.ok ? withConnectors(input, io, (call) => work(call, name.value)) : name;
}

function nameArg<W extends Known<S>, S>(
  { arg, noun }: ThingKind<W, S>,
  input: Input,
): Result<string> {
  return oneArg(input, arg, `signet connector ${noun} list`);
}

type Mode = 'create' | 'update';

async function putThings<W extends Known<S>, S>(
  kind: ThingKind<W, S>,
  mode: Mode,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const stated = await statedThings(kind, mode, input, io);
  if (!stated.ok) return stated;
  return withConnectors(input, io, async (call) => {
    const done: W[] = [];
    const errors = [];
    for (const stateOf of stated.value) {
      const written = await putThing(kind, call, stateOf, mode);
      if (written.ok) done.push(written.value);
      else errors.push(written.error);
    }
    const verb = mode === 'create' ? 'Created' : 'Updated';
    printOut(input, io, { [kind.nouns]: done.map(kind.toJson) }, () =>
      done.map(({ spec }) => `${verb} ${kind.noun} ${safe(shownName(kind, spec))}\n`).join(''),
    );
    return batchResult(errors, stated.value.length);
  });
}

function shownName<W extends Known<S>, S>(
  { nameOf }: ThingKind<W, S>,
  spec: S | undefined,
): string {
  return spec === undefined ? '' : nameOf(spec);
}

/** What one is to be, by what it is. */
interface Stated<S> {
  readonly name: string;
  readonly from: (before: S) => Result<S>;
}

async function statedThings<W extends Known<S>, S>(
  kind: ThingKind<W, S>,
  mode: Mode,
  input: Input,
  io: CliIo,
): Promise<Result<readonly Stated<S>[]>> {
  const path = input.text(DATA_FLAG.name);
  if (path === undefined) {
    const name = nameArg(kind, input);
    if (!name.ok) return name;
    const from = (before: S): Result<S> => {
      const cleared =
        mode === 'update' ? kind.cleared(before, input.texts(kind.clear.name)) : ok(before);
      return cleared.ok ? kind.fromFlags(cleared.value, input) : cleared;
    };
    // Read once before anything is asked, so that a wrong flag is told at once.
    const read = from(kind.blank(name.value));
    return read.ok ? ok([{ name: name.value, from }]) : read;
  }
  const flags = mode === 'update' ? [...kind.flags, kind.clear] : kind.flags;
  if (input.args.length > 0 || flags.some(({ name }) => isGiven(input, name))) {
    return fail('CLI_USAGE', `--data takes the place of ${kind.arg} and of all other flags`);
  }
  const bytes = await readData(path, io);
  if (!bytes.ok) return bytes;
  const specs = kind.parse(bytes.value);
  if (!specs.ok) return specs;
  return ok(specs.value.map((spec) => ({ name: kind.nameOf(spec), from: () => ok(spec) })));
}

function isGiven(input: Input, flag: string): boolean {
  return input.text(flag) !== undefined || input.texts(flag).length > 0;
}

async function putThing<W extends Known<S>, S>(
  kind: ThingKind<W, S>,
  call: ConnectorCall,
  { name, from }: Stated<S>,
  mode: Mode,
): Promise<Result<W>> {
  const { noun, arg } = kind;
  if (name === '') return flagError('data', `a ${noun} has no ${arg.toLowerCase()}`);
  const before = mode === 'create' ? ok(undefined) : await getThing(kind, call, name);
  if (!before.ok) return before;
  const spec = from(before.value?.spec ?? kind.blank(name));
  if (!spec.ok) return spec;
  const expectedRevision = before.value?.revision ?? 0n;
  return call<W>(`writing ${noun} ${safe(name)}`, (client) =>
    kind.put(client, spec.value, expectedRevision),
  );
}

function getThing<W extends Known<S>, S>(
  { noun, get }: ThingKind<W, S>,
  call: ConnectorCall,
  name: string,
): Promise<Result<W>> {
  return call<W>(`reading the ${noun}`, (client) => get(client, name));
}
