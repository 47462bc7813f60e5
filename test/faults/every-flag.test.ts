import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ERRORS } from '../../src/base/errors.ts';
import { allFlags, type CommandSpec, type FlagSpec } from '../../src/cli/spec.ts';
import { commands } from '../../src/main/commands.ts';
import { cli } from '../support/cli.ts';
import { SIGNET } from '../support/dev.ts';
import { Fleet } from '../support/fleet.ts';
import { type Finished, run } from '../support/processes.ts';
import { makeRoot } from '../support/x509.ts';

/** Values that no flag means: name, and the value. */
const BAD_VALUES: readonly (readonly [string, string])[] = [
  ['empty', ''],
  ['controls', '\u0001\u001b[31mred\u0007\u{1f600}\u202e'],
  ['dots', '../../../../../../nowhere/\u0001.pem'],
  ['huge', 'a'.repeat(100_000)],
  ['number', '99999999999999999999'],
  ['negative', '-1'],
];

/** What a required flag gets, so that the flag under test is what is refused. */
const GOOD: Readonly<Record<string, string>> = {
  'spiffe-id': 'spiffe://example.org/web',
  'parent-id': 'spiffe://example.org/spire/agent/x',
  audience: 'somebody',
  svid: 'a.b.c',
};

let folder: string;
let here: string;

before(() => {
  here = process.cwd();
  folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  mkdirSync(join(folder, 'cwd'));
  // Relative paths in values must not reach the checkout.
  process.chdir(join(folder, 'cwd'));
});

after(() => {
  process.chdir(here);
  rmSync(folder, { recursive: true, force: true });
});

function required(spec: CommandSpec, except: FlagSpec): string[] {
  return allFlags(spec)
    .filter((flag) => flag.required === true && flag.name !== except.name)
    .flatMap((flag) => [`--${flag.name}`, GOOD[flag.name] ?? 'x']);
}

/** A refusal for people: what, code of the table, what to do next; nothing raw, no stack. */
function assertRefusal({ code, stderr }: Pick<Finished, 'code' | 'stderr'>, what: string): void {
  const text = `${what}: exit ${code}\n${stderr.slice(0, 2000)}`;
  assert.ok(code === 1 || code === 2, text);
  const [, errorCode = ''] = /^ {2}code: (\w+)/m.exec(stderr) ?? [];
  assert.ok(Object.hasOwn(ERRORS, errorCode), text);
  assert.match(stderr, /^ {2}next: \S/m, text);
  assert.notEqual(errorCode, 'INTERNAL', text);
  assert.doesNotMatch(stderr, /\n\s+at .*[:(]|TypeError|RangeError|ERR_[A-Z]/, text);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a terminal.
  assert.doesNotMatch(stderr, /[\u0000-\u0009\u000b-\u001f\u202e]/, text);
  assert.ok(stderr.length < 4000, `${what}: ${stderr.length} characters of refusal`);
}

/** Commands that ask a server or an agent, or nobody; those that run something are below. */
const ASKING = commands.filter(({ path }) => !/^(dev|demo|.* run)$/.test(path));

describe('every flag of every command that asks refuses what it cannot mean', () => {
  for (const { path, load } of ASKING) {
    test(`signet ${path}`, async () => {
      const spec = await load();
      const nobody = { SIGNET_SERVER_SOCKET: '/nowhere', SIGNET_AGENT_SOCKET: '/nowhere' };
      for (const flag of allFlags(spec).filter(({ value }) => value !== undefined)) {
        for (const [name, value] of BAD_VALUES) {
          const argv = [...path.split(' '), ...required(spec, flag), `--${flag.name}=${value}`];
          // A watch goes on until it is interrupted, whoever is not there.
          const signal = AbortSignal.timeout(path === 'api watch' ? 200 : 60_000);
          const { code, err, out } = await cli(commands, argv, { env: nobody, signal });
          if (code === 0 && signal.aborted) continue;
          const what = `signet ${path} --${flag.name} (${name})`;
          assertRefusal({ code, stderr: err }, what);
          assert.equal(out, '', what);
        }
      }
    });
  }
});

/** Flags whose text may be anything that the wire takes: the server, not the CLI, knows better. */
describe('against a live server, a bad value of any flag is refused or finds nothing', () => {
  let fleet: Fleet;
  before(async () => {
    process.chdir(here);
    fleet = await Fleet.start({ serverOnly: true });
    process.chdir(join(folder, 'cwd'));
  });
  after(() => fleet?.stop());

  for (const { path, load } of ASKING) {
    test(`signet ${path}`, async () => {
      const spec = await load();
      if (spec.connects !== 'server') return;
      for (const flag of allFlags(spec).filter(({ value }) => value !== undefined)) {
        for (const [name, value] of BAD_VALUES) {
          const argv = [...path.split(' '), ...required(spec, flag), `--${flag.name}=${value}`];
          const { code, err, out } = await cli(commands, argv, {
            env: { SIGNET_SERVER_SOCKET: fleet.adminSocket },
          });
          const what = `signet ${path} --${flag.name} (${name})`;
          if (code === 0) assert.doesNotMatch(out, /PRIVATE KEY/, what);
          else assertRefusal({ code, stderr: err }, what);
        }
      }
    });
  }

  test('nothing was registered, and nobody joined', async () => {
    const count = async (noun: string) => (await fleet.json(noun, 'count')) as { count?: number };
    assert.equal((await count('entry')).count ?? 0, 0);
    assert.equal((await count('agent')).count ?? 0, 0);
  });
});

describe('every flag of what runs refuses what it cannot mean', () => {
  const BUNDLE = join(mkdtempSync(join(tmpdir(), 'sgn-')), 'bundle.pem');
  before(() => writeFileSync(BUNDLE, makeRoot().pem));
  after(() => rmSync(dirname(BUNDLE), { recursive: true, force: true }));
  /** Flags that make a whole command line; the one under test replaces its own. */
  const BASE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    dev: { dir: 'made' },
    'server run': { 'trust-domain': 'example.org', 'data-dir': 'made', 'socket-path': 'made.sock' },
    'agent run': {
      'trust-domain': 'example.org',
      'server-address': '127.0.0.1',
      'trust-bundle': BUNDLE,
      'data-dir': 'made',
      'socket-path': 'made.sock',
    },
    'connector run': {
      'trust-domain': 'example.org',
      group: 'edge',
      'server-address': '127.0.0.1',
      'trust-bundle': BUNDLE,
      method: 'provisioning-key',
      'data-dir': 'made',
      'local-socket': 'made/local.sock',
    },
    'csi run': {
      'node-id': 'node-a',
      'driver-name': 'csi.test',
      'socket-dir': 'made',
      'kubelet-dir': 'made',
      // Taken by nobody who may not: a driver that gets this far ends there.
      'telemetry-address': '192.0.2.1',
      'telemetry-port': '9',
    },
  };
  test('every command that runs something is here', () => {
    const running = commands.map(({ path }) => path).filter((path) => path.endsWith(' run'));
    assert.deepEqual(
      running.filter((path) => !Object.hasOwn(BASE, path)),
      [],
    );
  });

  /** What looks odd and may be the name of a file all the same. */
  const MAY_BE: Readonly<Record<string, readonly string[]>> = {
    dir: ['controls'],
    'data-dir': ['controls'],
    'socket-path': ['controls'],
    // An agent waits for a bundle that is not there yet.
    'trust-bundle': ['controls'],
    'socket-dir': ['controls'],
    'kubelet-dir': ['controls'],
    // A companion waits for what is not there yet.
    'token-file': ['controls'],
    'key-file': ['controls'],
    'workload-socket': ['controls'],
    'output-dir': ['controls'],
    'local-socket': ['controls'],
  };
  /** A process each: fewer than above, where a value costs nothing. */
  const values = BAD_VALUES.filter(([name]) => ['empty', 'controls', 'huge'].includes(name));

  for (const [command, base] of Object.entries(BASE)) {
    test(`signet ${command}`, async () => {
      const spec = await commands.find(({ path }) => path === command)!.load();
      const cwd = mkdtempSync(join(folder, 'run-'));
      const cases = allFlags(spec)
        .filter(({ value }) => value !== undefined)
        .flatMap((flag) => values.map((bad) => [flag, ...bad] as const))
        .filter(([{ name }, kind]) => MAY_BE[name]?.includes(kind) !== true);
      const one = async ([flag, name, value]: (typeof cases)[number]): Promise<void> => {
        const { [flag.name]: _, ...others } = base;
        const rest = Object.entries(others).map(([key, text]) => `--${key}=${text}`);
        const argv = [...command.split(' '), ...rest, `--${flag.name}=${value}`];
        const finished = await run('timeout', ['-k', '1', '20', SIGNET, ...argv], { cwd });
        const stderr = finished.stderr.replace(/^\{.*\}\n/gm, '');
        const what = `signet ${command} --${flag.name} (${name})`;
        assertRefusal({ code: finished.code, stderr }, what);
      };
      const queue = [...cases];
      await Promise.all(
        Array.from({ length: 3 }, async () => {
          for (let next = queue.pop(); next !== undefined; next = queue.pop()) await one(next);
        }),
      );
      // What only the process that began can refuse, such as a port that is taken, may have made
      // its folder; nothing is anywhere else.
      assert.deepEqual(
        readdirSync(cwd).filter((name) => name !== 'made'),
        [],
      );
    });
  }
});
