import { connect, type Server, type TLSSocket } from 'node:tls';
import { toHex } from '../../base/bytes.ts';
import { unwrap } from '../../base/result.ts';
import { findWorkloadAddress } from '../../client/address.ts';
import { authorizeIds, createMtlsServer } from '../../client/tls.ts';
import { WorkloadClient } from '../../client/workload-client.ts';
import type { X509Context } from '../../client/x509-context.ts';
import { X509Source } from '../../client/x509-source.ts';
import { parseSpiffeId } from '../../spiffe/spiffe-id.ts';
import { Caller } from './caller.ts';
import { onLines } from './lines.ts';
import type { DemoEvent, DemoOrder } from './protocol.ts';

/**
 * One of the demo's processes: a stand-in for a service of a user. Knows nothing about Signet but the
 * address of the Workload API in its environment; the demo tells it what to do over a channel.
 */
const client = new WorkloadClient(unwrap(findWorkloadAddress(undefined, process.env)), {
  backOff: { firstMs: 50, maxMs: 200 },
});
const source = new X509Source(client);
let caller: Caller | undefined;
let server: Server | undefined;

function tell(event: DemoEvent): void {
  process.send?.(event);
}

function fail(reason: string): void {
  tell({ event: 'failed', reason });
}

function tellSvid({ svids: [svid] }: X509Context): void {
  const { leaf, id } = svid;
  tell({
    event: 'svid',
    id: id.uri,
    serial: leaf.serialDecimal,
    authority: toHex(leaf.authorityKeyId ?? new Uint8Array()),
    lifeSeconds: Math.round((leaf.notAfterMs - Date.now()) / 1000),
  });
}

/** Tells why nothing was given yet; each reason once. */
function watchWaiting(): void {
  let told = '';
  const timer = setInterval(() => {
    const { problem } = source;
    if (problem === undefined || problem.code === told) return;
    told = problem.code;
    tell({ event: 'waiting', code: problem.statusName, reason: whatAgentSaid(problem) });
  }, 20);
  source.ready().then(() => clearInterval(timer));
}

/** Tells, each time, when an identity that was held is taken away (WLAPI-16). */
function watchLoss(): void {
  let held = false;
  client.watchX509Context({
    onUpdate: () => {
      held = true;
    },
    onError: (error) => {
      if (!held || error.statusName !== 'PermissionDenied') return;
      held = false;
      const atMs = Date.now();
      tell({ event: 'lost', code: error.statusName, reason: whatAgentSaid(error), atMs });
    },
  });
}

/** Of `watching X.509-SVIDs: no identity issued` the last part. */
function whatAgentSaid({ message }: Error): string {
  return message.split(': ').at(-1) ?? '';
}

function serve(allow: string): void {
  const id = unwrap(parseSpiffeId(allow));
  const handlers = {
    authorize: authorizeIds(id),
    onConnection: (socket: TLSSocket) => onLines(socket, (line) => void answer(socket, line)),
  };
  server = unwrap(createMtlsServer(source, handlers));
  server.listen(0, '127.0.0.1', () => {
    const address = server?.address();
    if (typeof address === 'object' && address !== null) {
      tell({ event: 'listening', port: address.port });
    }
  });
}

/** A token is validated for our own name, and must be refused for another. */
async function answer(socket: TLSSocket, line: string): Promise<void> {
  if (!line.startsWith('token ')) {
    socket.write('answer\n');
    return;
  }
  const token = line.slice('token '.length);
  const own = source.current();
  const name = own.ok ? own.value.svids[0].id.uri : '';
  const valid = await client.validateJwtSvid(token, name);
  const elsewhere = await client.validateJwtSvid(token, 'somebody-else');
  const subject = valid.ok ? valid.value.id.uri : `refused: ${valid.error.message}`;
  socket.write(`token ${JSON.stringify({ subject, refusedElsewhere: !elsewhere.ok })}\n`);
}

function call(port: number, expect: string): void {
  caller = new Caller(source, port, authorizeIds(unwrap(parseSpiffeId(expect))));
  caller.start(() => tell({ event: 'connected', peer: expect }), fail);
}

async function sendToken(audience: string): Promise<void> {
  const svids = await client.fetchJwtSvids([audience]);
  const [svid] = svids.ok ? svids.value : [];
  if (svid === undefined || caller === undefined) {
    fail(svids.ok ? 'no JWT-SVID' : svids.error.message);
    return;
  }
  // What `answer` above wrote: our own other process.
  const said = JSON.parse(await caller.sendToken(svid.token)) as {
    subject: string;
    refusedElsewhere: boolean;
  };
  tell({ event: 'token', ...said });
}

/** A stranger has no certificate to show; TLS 1.3 tells it only after its own side is done. */
function intrude(port: number): void {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  let told = false;
  const finish = (accepted: boolean, reason: string): void => {
    if (!told) tell({ event: 'intruded', accepted, reason });
    told = true;
    socket.destroy();
  };
  socket.once('secureConnect', () => socket.write('call\n'));
  socket.on('error', (error) => finish(false, tlsReason(error)));
  socket.on('close', () => finish(false, 'the server ended the connection'));
  onLines(socket, (line) => finish(true, line));
}

/** OpenSSL's reason without the places in its sources. */
function tlsReason(error: Error): string {
  const reason = 'reason' in error && typeof error.reason === 'string' ? error.reason : undefined;
  return reason ?? error.message.split('\n')[0] ?? '';
}

async function obey(order: DemoOrder): Promise<void> {
  if (order.order === 'serve') serve(order.allow);
  else if (order.order === 'call') call(order.port, order.expect);
  else if (order.order === 'send-token') await sendToken(order.audience);
  else if (order.order === 'intrude') intrude(order.port);
  else if (caller !== undefined) tell({ event: 'report', calls: caller.calls() });
}

process.on('message', (order: DemoOrder) => {
  obey(order).catch((error: unknown) => fail(String(error)));
});
// The demo is gone, however it ended.
process.on('disconnect', () => process.exit(0));
// Ctrl-C is for the demo, which ends us in order.
process.on('SIGINT', () => {});
source.subscribe(tellSvid);
watchWaiting();
watchLoss();
