import type { CliIo } from '../../cli/spec.ts';
import type { DevLine } from './dev-process.ts';
import type { DemoProcess } from './process.ts';
import type { Calls } from './protocol.ts';
import { type Screen, seconds } from './screen.ts';
import { check, command, STEP_LIMIT_MS } from './steps.ts';

/** Everyone who takes part. */
export interface Cast {
  readonly dev: DevLine;
  readonly web: DemoProcess;
  readonly billing: DemoProcess;
  readonly stranger: DemoProcess;
}

/** Both services ask for an identity and are told that there is none yet. */
export async function waitInVain(cast: Cast, screen: Screen): Promise<void> {
  for (const process of [cast.web, cast.billing]) {
    const { reason } = await process.event('waiting', STEP_LIMIT_MS);
    screen.fact(`${process.name} (pid ${process.pid}) waits; the agent says "${reason}"`);
  }
}

/** Registers both with the command that operators use, and waits until both have their SVIDs. */
export async function register(cast: Cast, screen: Screen, io: CliIo): Promise<void> {
  for (const process of [cast.web, cast.billing]) {
    const id = idOf(cast, process);
    const args = ['--spiffe-id', id, '--parent-id', cast.dev.agentId];
    args.push('--selector', `unix:path:${process.binary}`);
    screen.fact(`$ signet entry create --spiffe-id ${id} \\`);
    screen.fact(`    --selector unix:path:${process.binary} …`);
    const startMs = performance.now();
    await command(['entry', 'create', '--server-socket', cast.dev.adminSocket, ...args], io);
    const svid = await process.event('svid', STEP_LIMIT_MS);
    check(svid.id === id, `${process.name} got ${svid.id}`);
    const tookText = seconds(performance.now() - startMs);
    screen.fact(`${process.name} has its X.509-SVID, ${tookText} after the command began`);
  }
}

/** mTLS between the two, each checking who the other is. */
export async function talk(cast: Cast, screen: Screen): Promise<number> {
  const { web, billing } = cast;
  billing.order({ order: 'serve', allow: idOf(cast, web) });
  const { port } = await billing.event('listening', STEP_LIMIT_MS);
  web.order({ order: 'call', port, expect: idOf(cast, billing) });
  await web.event('connected', STEP_LIMIT_MS);
  screen.fact(`web → 127.0.0.1:${port} → billing; web checks that the server is`);
  screen.fact(`${idOf(cast, billing)}, billing that the client is`);
  screen.fact(`${idOf(cast, web)}. Calls go on until the end of the demo.`);
  return port;
}

/** A JWT-SVID goes over that connection and is validated on the other side. */
export async function sendToken(cast: Cast, screen: Screen): Promise<void> {
  cast.web.order({ order: 'send-token', audience: idOf(cast, cast.billing) });
  const token = await cast.web.event('token', STEP_LIMIT_MS);
  check(token.subject === idOf(cast, cast.web), `billing read the token as ${token.subject}`);
  check(token.refusedElsewhere, 'the token was accepted for another audience');
  screen.fact(`billing validates the token: it is from ${token.subject}`);
  screen.fact('for another audience the same token is refused');
}

/** The stranger has a socket and no entry: no identity, and no way into billing. */
export async function refuseStranger(cast: Cast, screen: Screen, port: number): Promise<void> {
  const { stranger } = cast;
  const { reason, code } = await stranger.event('waiting', STEP_LIMIT_MS, (waiting) => {
    return waiting.code !== 'Unavailable';
  });
  check(code === 'PermissionDenied', `the agent answered ${code}`);
  screen.fact(`the agent answers ${code}, "${reason}"`);
  stranger.order({ order: 'intrude', port });
  const attempt = await stranger.event('intruded', STEP_LIMIT_MS);
  check(!attempt.accepted, 'billing answered a client without an identity');
  screen.fact(`billing refuses its connection (${attempt.reason})`);
}

/** Waits until both hold an SVID that differs from the first in its serial, or in its authority. */
export async function rotate(
  cast: Cast,
  screen: Screen,
  what: 'serial' | 'authority',
  limitMs: number,
): Promise<void> {
  const startMs = performance.now();
  const changed = [cast.web, cast.billing].map(async (process) => {
    const before = await process.event('svid', 0);
    return process.event('svid', limitMs, (svid) => svid[what] !== before[what]);
  });
  const asked = what === 'serial' ? 'next SVIDs' : 'next signing key';
  await screen.waiting(
    () => `waiting for the ${asked}, ${seconds(performance.now() - startMs)}`,
    Promise.all(changed),
  );
  const calls = await report(cast);
  check(calls.opened === 1, `the connection broke and was opened ${calls.opened} times`);
  check(calls.failed === 0, `${calls.failed} calls failed`);
  screen.fact('web and billing hold new ones; the connection opened before is the same:');
  screen.fact(`${calls.answered} calls over it, ${calls.fresh} new connections, none failed`);
}

async function report({ web }: Cast): Promise<Calls> {
  // A connection or two after the change must work with what is new.
  await new Promise((resolve) => setTimeout(resolve, 1200));
  web.forget('report');
  web.order({ order: 'report' });
  return (await web.event('report', STEP_LIMIT_MS)).calls;
}

function idOf({ dev }: Cast, process: DemoProcess): string {
  return `spiffe://${dev.trustDomain}/${process.name}`;
}
