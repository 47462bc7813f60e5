import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type {
  ConnectorMessage,
  ServerMessage,
} from '../../src/gen/signet/connector/v1/connector.ts';
import { callHttp } from '../../src/runtime/http-call.ts';
import { CompanionServer, type CompanionSession } from './companion-server.ts';
import { soon } from './processes.ts';

/** A message of the companion. */
export type Kind = NonNullable<ConnectorMessage['kind']>;

/** A scripted server, open until the test ends. */
export async function server(context: TestContext): Promise<CompanionServer> {
  const made = new CompanionServer();
  await made.open();
  context.after(() => made.close());
  return made;
}

/** The n-th session, once it is there. */
export async function session(of: CompanionServer, number: number): Promise<CompanionSession> {
  await soon(async () => of.sessions.length >= number);
  return of.sessions[number - 1]!;
}

/** What a kind of message holds. */
export type Of<C extends Kind['$case']> = Extract<Kind, { $case: C }>['value'];

/** The first message of a kind that fits, once it has come. */
export async function message<C extends Kind['$case']>(
  from: CompanionSession,
  kind: C,
  fits: (value: Of<C>) => boolean = () => true,
): Promise<Of<C>> {
  const find = () =>
    from.received.find((one) => one.$case === kind && fits(one.value as Of<C>))?.value;
  await soon(async () => find() !== undefined);
  return find() as Of<C>;
}

/** A command of the server. */
export function command(
  kind: NonNullable<
    Extract<NonNullable<ServerMessage['kind']>, { $case: 'command' }>['value']['kind']
  >,
) {
  return { $case: 'command', value: { nonce: Buffer.from('n'), kind } } as const;
}

/** The certificate and key files. */
export function outputs(folder: string): { cert: X509Certificate; key: string } {
  const cert = new X509Certificate(readFileSync(join(folder, 'out', 'tls.crt')));
  return { cert, key: readFileSync(join(folder, 'out', 'tls.key'), 'utf8') };
}

/** Whether certificate and key files are of one key. */
export function belongTogether(folder: string): boolean {
  const { cert, key } = outputs(folder);
  return cert.checkPrivateKey(createPrivateKey(key));
}

/** Asks the local socket. */
export async function local(folder: string, path: string, method: 'GET' | 'POST' = 'GET') {
  const answer = await callHttp(new URL(`http://local${path}`), {
    method,
    socketPath: join(folder, 'local.sock'),
    maxAnswerBytes: 1024 * 1024,
    signal: AbortSignal.timeout(30_000),
  });
  const body = answer.text === '' ? {} : (JSON.parse(answer.text) as Record<string, unknown>);
  return { status: answer.status, body };
}

/** The metrics page. */
export async function scrape(companion: { metrics: { registry: { metrics(): Promise<string> } } }) {
  return companion.metrics.registry.metrics();
}

/** The key of a request, to compare. */
export function keyOf(csr: Buffer): string {
  return spkiOf(csr).toString('hex');
}

/** The P-256 key of a request. */
export function spkiOf(csr: Buffer): Buffer {
  const header = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');
  const at = csr.indexOf(header);
  const spki = csr.subarray(at, at + 91);
  createPublicKey({ key: spki, format: 'der', type: 'spki' });
  return spki;
}
