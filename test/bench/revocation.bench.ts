/**
 * From the command that revokes an SVID to the last of 1,000 open Workload API streams that hold it:
 * its replacement is there. Server and agent as a user runs them. Prints a table and writes
 * `bench-revocation.json`.
 */
import { promisify } from 'node:util';
import { credentials, Metadata } from '@grpc/grpc-js';
import { unwrap } from '../../src/base/result.ts';
import {
  Reason,
  RevocationClient,
  type RevokeX509SVIDRequest,
  type RevokeX509SVIDResponse,
} from '../../src/gen/signet/revocation/v1/revocation.ts';
import { SpiffeWorkloadAPIClient, type X509SVIDResponse } from '../../src/gen/workload.ts';
import { openUnixChannel } from '../../src/rpc/channel.ts';
import { parseCertificates } from '../../src/x509/certificate.ts';
import { Fleet } from '../support/fleet.ts';
import { securityHeader } from '../support/workload-api.ts';
import { quantile, report } from './report.ts';

const STREAMS = 1000;
const CONNECTIONS = 20;
const ROUNDS = 100;
const COMMANDS = 10;
const LIMITS = { streamsPerConnection: 100, streamsPerUid: 2000, streams: 2000 };

/** Which serial each stream holds, and a wait for all to hold another. */
class Holders {
  readonly #serials: string[] = [];
  readonly #known = new Map<string, string>();
  #wanted: ((serial: string) => boolean) | undefined;
  #left = 0;
  #done: () => void = () => {};

  take(index: number, { svids: [svid] }: X509SVIDResponse): void {
    const before = this.#serials[index];
    const serial = this.#serialOf(svid?.x509Svid ?? Buffer.alloc(0));
    this.#serials[index] = serial;
    if (this.#wanted === undefined || !this.#wanted(serial)) return;
    if (before !== undefined && this.#wanted(before)) return;
    this.#left -= 1;
    if (this.#left === 0) this.#done();
  }

  /** Answers when every stream holds a serial of which this is true. */
  all(wanted: (serial: string) => boolean): Promise<void> {
    this.#wanted = wanted;
    const held = this.#serials.filter((serial) => serial !== undefined && wanted(serial)).length;
    this.#left = STREAMS - held;
    if (this.#left === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#done = resolve;
    });
  }

  get first(): string {
    return this.#serials[0] ?? '';
  }

  /** All streams get the same bytes: read once, so that reading is not what is measured. */
  #serialOf(chain: Buffer): string {
    const key = chain.toString('latin1');
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const serial = unwrap(parseCertificates(chain))[0]?.serialDecimal ?? '';
    this.#known.set(key, serial);
    return serial;
  }
}

async function measure(serverYaml: string) {
  const limits = Object.entries(LIMITS).map(([key, value]) => `${key}: ${value}`);
  const agentYaml = `limits: { ${limits.join(', ')} }`;
  const fleet = await Fleet.start({ serverYaml, agentYaml });
  await fleet.register('/held');
  const holders = new Holders();
  const channels = Array.from({ length: CONNECTIONS }, () => openUnixChannel(fleet.workloadSocket));
  const opened = holders.all((serial) => serial !== '');
  for (const [at, channel] of channels.entries()) {
    const api = channel.client(SpiffeWorkloadAPIClient);
    for (let index = at; index < STREAMS; index += CONNECTIONS) {
      const stream = api.fetchX509Svid({}, securityHeader());
      stream.on('data', (message: X509SVIDResponse) => holders.take(index, message));
      stream.on('error', () => {});
    }
  }
  await opened;
  const admin = new RevocationClient(`unix:${fleet.adminSocket}`, credentials.createInsecure());
  const revoke = promisify<RevokeX509SVIDRequest, RevokeX509SVIDResponse>((request, done) =>
    admin.revokeX509Svid(request, new Metadata(), done),
  );
  const round = async (work: (serial: string) => Promise<unknown>): Promise<number> => {
    const serial = holders.first;
    const startMs = performance.now();
    await Promise.all([holders.all((other) => other !== serial && other !== ''), work(serial)]);
    return performance.now() - startMs;
  };
  const calls: number[] = [];
  const bySerial = (serial: string) =>
    revoke({
      target: { $case: 'serialNumbers', value: { values: [serial] } },
      reason: Reason.SUPERSEDED,
    });
  for (let i = 0; i < ROUNDS; i++) calls.push(await round(bySerial));
  const commands: number[] = [];
  for (let i = 0; i < COMMANDS; i++) {
    commands.push(await round((serial) => fleet.json('svid', 'revoke', '--serial', serial)));
  }
  admin.close();
  for (const channel of channels) channel.close();
  await fleet.stop();
  return { calls, commands };
}

const row = (samples: readonly number[]) => ({
  'p50 ms': quantile(samples, 0.5),
  'p99 ms': quantile(samples, 0.99),
  'most ms': Math.max(...samples),
});

const plain = await measure('');
const withCrl = await measure('crl: { enabled: true, workloadApi: true }');
report('revocation', {
  'RPC → last of 1,000 streams': row(plain.calls),
  'the same, CRL in the Workload API': row(withCrl.calls),
  'command → last of 1,000 streams': row(plain.commands),
});
