import type { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { BmcClient } from '../redfish/bmc-client.ts';
import { type BmcCredentials, readBmcCredentials } from '../redfish/credentials.ts';
import { DEFAULT_PACE } from '../redfish/pace.ts';
import { type BmcTrust, parseBmcOrigin, parseTlsCa, parseTlsPins } from '../redfish/place.ts';
import { readShownCertificate, type ShownCertificate } from '../redfish/shown-certificate.ts';
import { readData } from './files.ts';
import { flagError } from './flags.ts';
import type { CliIo, FlagSpec, Input } from './spec.ts';
import { counted, formatTable, safe } from './text.ts';

/** Flags of every command that asks BMCs. */
export const BMC_ACCESS_FLAGS: readonly FlagSpec[] = [
  {
    name: 'tls-pin',
    value: 'pin',
    repeat: true,
    help: 'spki-sha256:<hex> or cert-sha256:<hex> of a BMC; any of those given fits',
  },
  { name: 'tls-ca', value: 'path', help: 'CAs (PEM) that certificates of the BMCs lead to' },
  { name: 'accept-pin', help: 'pin whatever the BMCs show, unseen: in a network you trust' },
  { name: 'bmc-user-file', value: 'path', help: 'user name; else the variable SIGNET_BMC_USER' },
  {
    name: 'bmc-password-file',
    value: 'path',
    help: 'password; else the variable SIGNET_BMC_PASSWORD',
  },
];

/** BMCs that are asked at one time. */
const AT_ONCE = 16;
const MAX_ADDRESSES = 10_000;

/** What came of one BMC. */
export interface BmcAnswer<T> {
  /** As it was given. */
  readonly address: string;
  /** SHA-256 of its TLS key, hex, where it showed one. */
  readonly tlsPin: string | undefined;
  readonly answer: Result<T>;
}

/** A BMC whose key was accepted. */
export interface OpenBmc {
  readonly client: BmcClient;
  readonly origin: string;
  /** SHA-256 of its TLS key, hex. */
  readonly tlsPin: string;
}

/** What BMCs are asked, and how an answer is told in a line. */
export interface BmcQuestion<T> {
  /** Hosts, or `host:port`. */
  readonly addresses: readonly string[];
  /** What the command line calls them, for refusals. */
  readonly called: string;
  readonly ask: (bmc: OpenBmc) => Promise<Result<T>>;
  readonly said: (answer: T) => string;
}

interface Place {
  readonly address: string;
  readonly origin: string;
}

interface Shown extends Place {
  readonly shown: Result<ShownCertificate>;
}

/**
 * Asks BMCs, from here and not from the server: a server sends its account to the addresses of its
 * inventory alone, under the keys that are pinned there. Nothing, and no password above all, goes to a BMC
 * before its key was found to be a pinned one, led to the CA, or was confirmed by somebody. Fails with
 * CLI_USAGE, REDFISH_SETTINGS and DPU_BMC_UNCONFIRMED; what is wrong with one BMC is in its answer.
 */
export async function askEachBmc<T>(
  question: BmcQuestion<T>,
  input: Input,
  io: CliIo,
): Promise<Result<readonly BmcAnswer<T>[]>> {
  const places = placesOf(question);
  if (!places.ok) return places;
  const trust = await trustOf(input, io);
  if (!trust.ok) return trust;
  const account = await readBmcCredentials({
    userNamePath: input.text('bmc-user-file'),
    passwordPath: input.text('bmc-password-file'),
    called: { userName: '--bmc-user-file', password: '--bmc-password-file' },
  });
  if (!account.ok) return account;
  const timeoutMs = DEFAULT_PACE.connectTimeoutMs;
  const looked = await forAll(places.value, async (place): Promise<Shown> => {
    const at = { origin: place.origin, clock: io.clock, timeoutMs, trust: trust.value };
    return { ...place, shown: await readShownCertificate(at) };
  });
  if (trust.value === undefined && !input.has('accept-pin')) {
    const confirmed = await confirm(looked, io);
    if (!confirmed.ok) return confirmed;
  }
  let done = 0;
  const answers = await forAll(looked, async (place): Promise<BmcAnswer<T>> => {
    const one = await askOne(place, account.value, question, io);
    done += 1;
    const said = one.answer.ok ? question.said(one.answer.value) : problemOf(one.answer.error);
    io.err(`${safe(one.address)}: ${safe(said)} (${done} of ${looked.length})\n`);
    return one;
  });
  return ok(answers);
}

/** A refusal in one line. */
export function problemOf({ code, message }: SignetError): string {
  return `${code}: ${message}`;
}

function placesOf({
  addresses,
  called,
}: Pick<BmcQuestion<unknown>, 'addresses' | 'called'>): Result<readonly Place[]> {
  const usage = (why: string): Result<never> => fail('CLI_USAGE', `${called}: ${why}`);
  if (addresses.length > MAX_ADDRESSES) return usage(`above ${MAX_ADDRESSES}`);
  const places = new Map<string, Place>();
  for (const address of addresses) {
    const origin = parseBmcOrigin(address);
    if (!origin.ok) return usage(`"${address}": ${origin.error.message}`);
    if (places.has(origin.value)) return usage(`"${address}" is given twice`);
    places.set(origin.value, { address, origin: origin.value });
  }
  return ok([...places.values()]);
}

/** By what the BMCs are recognised; undefined where somebody has to confirm what they show. */
async function trustOf(input: Input, io: CliIo): Promise<Result<BmcTrust | undefined>> {
  const pins = input.texts('tls-pin');
  const caPath = input.text('tls-ca');
  const ways = [pins.length > 0, caPath !== undefined, input.has('accept-pin')];
  if (ways.filter(Boolean).length > 1) {
    return fail('CLI_USAGE', 'takes one of --tls-pin, --tls-ca and --accept-pin');
  }
  if (caPath !== undefined) {
    const pem = await readData(caPath, io);
    return pem.ok ? parseTlsCa(Buffer.from(pem.value).toString('utf8')) : pem;
  }
  if (pins.length === 0) return ok(undefined);
  // The inventory has pins without their kind: the key's.
  const named = pins.map((pin) => (/^[0-9a-f]{64}$/i.test(pin) ? `spki-sha256:${pin}` : pin));
  const trust = parseTlsPins(named.join(','));
  return trust.ok ? trust : flagError('tls-pin', trust.error.message);
}

async function confirm(looked: readonly Shown[], io: CliIo): Promise<Result<void>> {
  const rows = looked.flatMap(({ address, shown }) =>
    shown.ok ? [[address, shown.value.subject, `spki-sha256:${shown.value.spkiSha256}`]] : [],
  );
  // With nothing to confirm, each BMC says in its outcome why.
  if (rows.length === 0) return ok(undefined);
  io.err(`${formatTable(['BMC', 'SHOWS', 'PIN'], rows)}\n`);
  const what = counted(rows.length, 'this BMC', `these ${rows.length} BMCs`).replace(/^\d+ /, '');
  const answer = await io.ask(`Is that what ${what} must show? The password follows. [yes/no] `);
  if (answer?.trim().toLowerCase() === 'yes') return ok(undefined);
  const why = answer === undefined ? 'nobody sits at a terminal to confirm them' : 'not confirmed';
  return fail('DPU_BMC_UNCONFIRMED', `the pins of ${what}: ${why}; nothing was sent`);
}

async function askOne<T>(
  { address, origin, shown }: Shown,
  credentials: BmcCredentials,
  { ask }: BmcQuestion<T>,
  { clock, random }: CliIo,
): Promise<BmcAnswer<T>> {
  if (!shown.ok) return { address, tlsPin: undefined, answer: shown };
  const tlsPin = shown.value.spkiSha256;
  // The very key that was judged, whoever answers this time.
  const place = { origin, trust: { kind: 'spki', sha256: [tlsPin] } } as const;
  const client = new BmcClient({ place, credentials, clock, random });
  try {
    return { address, tlsPin, answer: await ask({ client, origin, tlsPin }) };
  } finally {
    await client.close();
  }
}

/** Does `work` for all, so many at a time; the answers are in the order of the items. */
async function forAll<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const answers: R[] = [];
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [at, item] of queue) answers[at] = await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return answers;
}
