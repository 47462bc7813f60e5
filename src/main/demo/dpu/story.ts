import { readFileSync } from 'node:fs';
import { SignetError } from '../../../base/errors.ts';
import type { CliIo } from '../../../cli/spec.ts';
import type { DemoProcess } from '../process.ts';
import { type Screen, seconds } from '../screen.ts';
import { check, command, STEP_LIMIT_MS } from '../steps.ts';
import { DEMO_RELEASE } from './manifest.ts';
import { type DpuSite, SERIAL, TRUST_DOMAIN } from './node.ts';
import { ALLOWED_FIRMWARE } from './protocol.ts';

/** Everyone who takes part. */
export interface DpuCast {
  readonly site: DpuSite;
  readonly web: DemoProcess;
  readonly hostAgentId: string;
}

/** What `signet dpu show -o json` says, as far as the story needs it. */
interface ShownDpu {
  readonly state: string;
  readonly reason?: string;
  readonly assessment?: { readonly code?: string; readonly binding?: string };
}

/** What `signet agent show -o json` says, likewise. */
interface ShownAgent {
  readonly selectors: readonly { readonly type: string; readonly value: string }[];
}

const WORKLOAD_ID = `spiffe://${TRUST_DOMAIN}/web`;
const POLL_MS = 100;
/** The agent attests again by itself at half of its SVID's life, and waits longer after each refusal. */
const REATTEST_LIMIT_MS = 60_000;
const LONGEST_SELECTOR = 60;
/** What the server writes to its log when a verdict puts a DPU out. */
const VERDICT_LINE = 'DPU: a person has to look at this';

/** Says who is there. */
export function introduce({ card, server, origin, port }: DpuSite, screen: Screen): void {
  screen.fact(`card and BMC: pid ${card.pid}, Redfish on ${origin}`);
  screen.fact('  a root of trust that signs measurements (SPDM 1.1) below six');
  screen.fact('  DICE certificates; made here, so it proves nothing');
  screen.fact(`server: pid ${server.pid}, on 127.0.0.1:${port}; it pins the vendor's root`);
  screen.fact('  and product CA, and has the signed manifest of the one release');
  screen.fact(`  that is allowed, ${DEMO_RELEASE}`);
}

/** Import and commissioning, with the commands that operators use. */
export async function enrol({ places }: DpuSite, screen: Screen, io: CliIo): Promise<void> {
  const at = ['--server-socket', places.adminSocket];
  screen.fact('$ signet dpu import dpus.csv');
  const imported = await command(['dpu', 'import', places.inventory, ...at], io);
  screen.fact(firstLine(imported));
  screen.fact(`$ signet dpu commission ${SERIAL} --from-bmc --reason "rack accepted"`);
  const reason = ['--from-bmc', '--reason', 'rack accepted'];
  screen.fact(firstLine(await command(['dpu', 'commission', SERIAL, ...reason, ...at], io)));
}

/** Waits until the card is trusted; shows as what the agent is known. Answers its ID. */
export async function attest(site: DpuSite, screen: Screen, io: CliIo): Promise<string> {
  const shown = await waitForState('trusted', site, screen, io);
  check(shown.assessment?.binding === 'dual', `bound ${shown.assessment?.binding}`);
  const [id = '', ...others] = await agentIds(site, io);
  check(id !== '' && others.length === 0, `${others.length + 1} agents`);
  showId(id, screen);
  screen.fact('assurance dual: the server asked the BMC itself as well, with a nonce');
  screen.fact('  of its own, and found the same device, boot and values');
  const { selectors } = await json<ShownAgent>(['agent', 'show', '--spiffe-id', id], site, io);
  screen.fact(`${selectors.length} selectors, all from evidence, inventory or manifest:`);
  for (const { type, value } of selectors) screen.fact(`  ${shortened(`${type}:${value}`)}`);
  return id;
}

/** Waits until the host's agent is attested; shows as what it is known. Answers its ID. */
export async function attestHost(
  site: DpuSite,
  cardAgentId: string,
  screen: Screen,
  io: CliIo,
): Promise<string> {
  const isHost = (id: string): boolean => id !== cardAgentId;
  const find = async (): Promise<string | undefined> => (await agentIds(site, io)).find(isHost);
  const id = await waitFor('for the agent on the host', find, screen);
  if (id === undefined) {
    throw new SignetError('DEMO_FAILED', `no agent\n${lastOf(site.places.hostLog)}`);
  }
  showId(id, screen);
  screen.fact('the card heard it over their link, and says so in a voucher that its');
  screen.fact('own key signs; the inventory says that the two belong together');
  const { selectors } = await json<ShownAgent>(['agent', 'show', '--spiffe-id', id], site, io);
  for (const { type, value } of selectors) screen.fact(`  ${shortened(`${type}:${value}`)}`);
  return id;
}

/** Registers the workload and waits for its SVID, over the Workload API. */
export async function issue(
  { site, web, hostAgentId }: DpuCast,
  screen: Screen,
  io: CliIo,
): Promise<void> {
  const { reason } = await web.event('waiting', STEP_LIMIT_MS);
  screen.fact(`web (pid ${web.pid}) waits; the agent says "${reason}"`);
  screen.fact(`$ signet entry create --spiffe-id ${WORKLOAD_ID} \\`);
  screen.fact('    --parent-id HOST-AGENT --selector unix:path:…/web');
  const selector = `unix:path:${web.binary}`;
  const args = ['--spiffe-id', WORKLOAD_ID, '--parent-id', hostAgentId, '--selector', selector];
  const startMs = performance.now();
  await command(['entry', 'create', '--server-socket', site.places.adminSocket, ...args], io);
  const svid = await web.event('svid', STEP_LIMIT_MS);
  check(svid.id === WORKLOAD_ID, `web got ${svid.id}`);
  screen.fact(`web has its X.509-SVID, ${since(startMs)} after the command began`);
}

/** One measurement changes; nobody tells the server. */
export async function changeFirmware(
  { site, web }: DpuCast,
  screen: Screen,
  io: CliIo,
): Promise<void> {
  const changed = { ...ALLOWED_FIRMWARE, nic: 'NIC firmware of nobody knows where' };
  site.card.order({ order: 'reboot', firmware: changed });
  await site.card.event('rebooted', STEP_LIMIT_MS);
  const startMs = performance.now();
  for (const kind of ['svid', 'lost'] as const) web.forget(kind);
  const lost = await screen.waiting(
    () => `the card attests again at half of its SVID's life, ${since(startMs)}`,
    web.event('lost', REATTEST_LIMIT_MS),
  );
  const { assessment, reason = '' } = await waitForState('quarantined', site, screen, io);
  check(assessment?.code === 'MEASUREMENT_MISMATCH', `the verdict is ${assessment?.code}`);
  screen.fact(`the next attestation found it, ${since(startMs)} later:`);
  screen.fact('  MEASUREMENT_MISMATCH');
  for (const line of wrapped(reason)) screen.fact(`  ${line}`);
  screen.fact('in quarantine: the DPU, both agents and all below; nothing is issued there');
  screen.fact(`web's stream ended ${afterVerdict(site, lost.atMs)} after the verdict:`);
  screen.fact(`  ${lost.code}, "${lost.reason}"`);
}

/** The firmware is put back; the operator releases the card; it attests in full and all goes on. */
export async function putBack({ site, web }: DpuCast, screen: Screen, io: CliIo): Promise<void> {
  site.card.forget('rebooted');
  site.card.order({ order: 'reboot', firmware: ALLOWED_FIRMWARE });
  await site.card.event('rebooted', STEP_LIMIT_MS);
  const startMs = performance.now();
  screen.fact(`$ signet dpu release ${SERIAL} --reason "firmware put back"`);
  const reason = ['--reason', 'firmware put back'];
  const at = ['--server-socket', site.places.adminSocket];
  screen.fact(firstLine(await command(['dpu', 'release', SERIAL, ...reason, ...at], io)));
  await waitForState('trusted', site, screen, io);
  screen.fact(`its agent had waited, and attested in full ${since(startMs)} later`);
  const svid = await screen.waiting(
    () => `for the agent on the host, ${since(startMs)}`,
    web.event('svid', REATTEST_LIMIT_MS),
  );
  check(svid.id === WORKLOAD_ID, `web got ${svid.id}`);
  screen.fact(`web has its identity again, ${since(startMs)} after the release`);
}

async function waitForState(
  state: string,
  site: DpuSite,
  screen: Screen,
  io: CliIo,
): Promise<ShownDpu> {
  let last: ShownDpu | undefined;
  const ask = async (): Promise<ShownDpu | undefined> => {
    last = await json<ShownDpu>(['dpu', 'show', SERIAL], site, io);
    // Out is in force before the verdict is written down.
    const isNoted = state !== 'quarantined' || (last.assessment?.code ?? '') !== '';
    return last.state === state && isNoted ? last : undefined;
  };
  const shown = await waitFor(`until the DPU is ${state}`, ask, screen);
  if (shown !== undefined) return shown;
  const why = `the DPU is ${last?.state}, not ${state}\n${lastOf(site.places.cardLog)}`;
  throw new SignetError('DEMO_FAILED', why);
}

/** Asks again and again until there is an answer; undefined when that takes too long. */
function waitFor<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  screen: Screen,
): Promise<T | undefined> {
  const startMs = performance.now();
  const wait = async (): Promise<T | undefined> => {
    while (performance.now() - startMs < REATTEST_LIMIT_MS) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return undefined;
  };
  return screen.waiting(() => `${what}, ${since(startMs)}`, wait());
}

async function agentIds(site: DpuSite, io: CliIo): Promise<readonly string[]> {
  type Listed = {
    readonly agents: readonly { readonly id: { trustDomain: string; path: string } }[];
  };
  const { agents } = await json<Listed>(['agent', 'list'], site, io);
  return agents.map(({ id }) => `spiffe://${id.trustDomain}${id.path}`);
}

/** An ID with a device key in it, in lines that fit. */
function showId(id: string, screen: Screen): void {
  const cut = id.search(/[0-9a-f]{64}/);
  screen.fact(`${id.slice(0, cut)}…`);
  screen.fact(`  …${id.slice(cut, cut + 64)}`);
  if (id.length > cut + 64) screen.fact(`  …${id.slice(cut + 64)}`);
}

/** From the verdict, as the server noted it, to the end of the stream, as the workload noted it. */
function afterVerdict({ places }: DpuSite, lostAtMs: number): string {
  const line = readFileSync(places.serverLog, 'utf8')
    .split('\n')
    .findLast((text) => text.includes(VERDICT_LINE));
  check(line !== undefined, 'the server logged no verdict');
  // Our own program's line.
  const { decidedAt } = JSON.parse(line ?? '{}') as { readonly decidedAt: string };
  return seconds(lostAtMs - Date.parse(decidedAt));
}

async function json<T>(args: readonly string[], { places }: DpuSite, io: CliIo): Promise<T> {
  const at = ['--server-socket', places.adminSocket, '-o', 'json'];
  // Our own program's output, of which the caller states what it reads.
  return JSON.parse(await command([...args, ...at], io)) as T;
}

function lastOf(path: string): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? '';
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? '';
}

function since(startMs: number): string {
  return seconds(performance.now() - startMs);
}

/** The beginning of a long selector. */
function shortened(text: string): string {
  return text.length <= LONGEST_SELECTOR ? text : `${text.slice(0, LONGEST_SELECTOR - 1)}…`;
}

/** A text in lines that fit below a fact, cut between words. */
function wrapped(text: string): readonly string[] {
  return text.match(/.{1,68}(?:\s|$)|\S{1,68}/g)?.map((line) => line.trim()) ?? [];
}
