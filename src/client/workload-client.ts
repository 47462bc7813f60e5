import {
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import type { BackOffOptions } from '../base/back-off.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { type Random, systemRandom } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import {
  type JWTBundlesResponse,
  type JWTSVIDResponse,
  SpiffeWorkloadAPIClient,
  type ValidateJWTSVIDResponse,
  type X509BundlesResponse,
  type X509SVIDResponse,
} from '../gen/workload.ts';
import { openChannel, openUnixChannel, type RpcChannel } from '../rpc/channel.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import { parseJwtBundle } from '../spiffe/bundle-document.ts';
import { type JwtSvid, parseJwtSvidUnverified } from '../spiffe/jwt-svid.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import type { WorkloadAddress } from './address.ts';
import { workloadError } from './remote-error.ts';
import { type Watch, type WatchHandlers, watchStream } from './stream-watch.ts';
import { readX509Bundles, readX509Context, type X509Context } from './x509-context.ts';

/** How a client behaves; all of it may be left out. */
export interface WorkloadClientOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  /** Waits between tries of a watch; 100 ms doubling to 5 s unless told. */
  readonly backOff?: BackOffOptions;
  /** How long unary calls and single fetches may take; 10 s unless told. */
  readonly timeoutMs?: number;
}

/** A JWT-SVID that the Workload API gave this process. */
export interface WorkloadJwtSvid extends JwtSvid {
  /** Which identity is for what; empty where there is nothing to tell apart. */
  readonly hint: string;
}

/** What the Workload API says about a token that it validated. */
export interface ValidatedToken {
  readonly id: SpiffeId;
  readonly claims: Readonly<Record<string, unknown>>;
}

const DEFAULT_BACK_OFF: BackOffOptions = { firstMs: 100, maxMs: 5000 };
const DEFAULT_TIMEOUT_MS = 10_000;

/** A client of one Workload API. Holds one connection; close it when done. */
export class WorkloadClient {
  readonly #channel: RpcChannel;
  readonly #api: SpiffeWorkloadAPIClient;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #backOff: BackOffOptions;
  readonly #timeoutMs: number;

  constructor(address: WorkloadAddress, options: WorkloadClientOptions = {}) {
    this.#channel = openWorkloadChannel(address);
    this.#api = this.#channel.client(SpiffeWorkloadAPIClient);
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#backOff = options.backOff ?? DEFAULT_BACK_OFF;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  /** Keeps a stream of X.509-SVIDs and bundles open until the watch is closed. */
  watchX509Context(handlers: WatchHandlers<X509Context>): Watch {
    return this.#watch(
      'watching X.509-SVIDs',
      () => this.#api.fetchX509Svid({}, securityHeader()),
      readX509Context,
      handlers,
    );
  }

  /** The X.509-SVIDs and bundles as they are now; one try. */
  fetchX509Context(): Promise<Result<X509Context>> {
    return this.#first<X509SVIDResponse, X509Context>(
      'fetching X.509-SVIDs',
      () => this.#api.fetchX509Svid({}, securityHeader(), this.#deadline()),
      readX509Context,
    );
  }

  /** The X.509 bundles as they are now, by name of their trust domain, with no key of anybody; one try. */
  fetchX509Bundles(): Promise<Result<ReadonlyMap<string, Bundle>>> {
    return this.#first<X509BundlesResponse, ReadonlyMap<string, Bundle>>(
      'fetching X.509 bundles',
      () => this.#api.fetchX509Bundles({}, securityHeader(), this.#deadline()),
      readX509Bundles,
    );
  }

  /** JWT-SVIDs for an audience, one for each identity, or for the one asked for. */
  async fetchJwtSvids(
    audience: readonly string[],
    spiffeId?: SpiffeId,
  ): Promise<Result<readonly WorkloadJwtSvid[]>> {
    const request = { audience: [...audience], spiffeId: spiffeId?.uri ?? '' };
    const response = await this.#unary<JWTSVIDResponse>('fetching a JWT-SVID', (done) =>
      this.#api.fetchJwtsvid(request, securityHeader(), this.#deadline(), done),
    );
    return response.ok ? readJwtSvids(response.value) : response;
  }

  /** Keeps a stream of JWT bundles open until the watch is closed. */
  watchJwtBundles(handlers: WatchHandlers<ReadonlyMap<string, Bundle>>): Watch {
    return this.#watch(
      'watching JWT bundles',
      () => this.#api.fetchJwtBundles({}, securityHeader()),
      readJwtBundles,
      handlers,
    );
  }

  /** The JWT bundles as they are now, by name of their trust domain; one try. */
  fetchJwtBundles(): Promise<Result<ReadonlyMap<string, Bundle>>> {
    return this.#first<JWTBundlesResponse, ReadonlyMap<string, Bundle>>(
      'fetching JWT bundles',
      () => this.#api.fetchJwtBundles({}, securityHeader(), this.#deadline()),
      readJwtBundles,
    );
  }

  /** Has the agent validate a token for an audience. */
  async validateJwtSvid(token: string, audience: string): Promise<Result<ValidatedToken>> {
    const response = await this.#unary<ValidateJWTSVIDResponse>('validating a JWT-SVID', (done) =>
      this.#api.validateJwtsvid(
        { audience, svid: token },
        securityHeader(),
        this.#deadline(),
        done,
      ),
    );
    if (!response.ok) return response;
    const id = parseSpiffeId(response.value.spiffeId);
    if (!id.ok) return invalid(id.error.message);
    return ok({ id: id.value, claims: response.value.claims ?? {} });
  }

  /** Ends all calls and the connection. */
  close(): void {
    this.#channel.close();
  }

  #watch<Response, T>(
    doing: string,
    open: () => ClientReadableStream<Response>,
    read: (response: Response) => Result<T>,
    handlers: WatchHandlers<T>,
  ): Watch {
    const options = { clock: this.#clock, random: this.#random, backOff: this.#backOff };
    return watchStream(doing, open, read, handlers, options);
  }

  #deadline(): { deadline: number } {
    // grpc-js compares with the machine's clock, whatever clock this client was given.
    return { deadline: Date.now() + this.#timeoutMs };
  }

  #unary<Response>(
    doing: string,
    call: (done: (error: ServiceError | null, response: Response) => void) => ClientUnaryCall,
  ): Promise<Result<Response>> {
    return new Promise((resolve) => {
      call((error, response) => {
        if (error === null) resolve(ok(response));
        else resolve({ ok: false, error: workloadError(doing, error) });
      });
    });
  }

  #first<Response, T>(
    doing: string,
    open: () => ClientReadableStream<Response>,
    read: (response: Response) => Result<T>,
  ): Promise<Result<T>> {
    return new Promise((resolve) => {
      const stream = open();
      stream.on('data', (response: Response) => {
        resolve(read(response));
        stream.cancel();
      });
      stream.on('error', () => {});
      stream.on('status', (status) => resolve({ ok: false, error: workloadError(doing, status) }));
    });
  }
}

function openWorkloadChannel(address: WorkloadAddress): RpcChannel {
  if (address.kind === 'unix') return openUnixChannel(address.path);
  const { host, port } = address;
  // WEP-11 allows addresses only; `tcp:` would be looked up as a name by grpc-js.
  const target = host.includes(':') ? `ipv6:[${host}]:${port}` : `ipv4:${host}:${port}`;
  return openChannel(target, credentials.createInsecure());
}

/** Every request carries it (WEP-3). */
function securityHeader(): Metadata {
  const metadata = new Metadata();
  metadata.set('workload.spiffe.io', 'true');
  return metadata;
}

function readJwtSvids(response: JWTSVIDResponse): Result<readonly WorkloadJwtSvid[]> {
  const svids: WorkloadJwtSvid[] = [];
  const hints = new Set<string>();
  for (const { svid: token, spiffeId, hint } of response.svids) {
    const svid = parseJwtSvidUnverified(token);
    if (!svid.ok) return invalid(svid.error.message);
    if (svid.value.id.uri !== spiffeId) return invalid('the SPIFFE ID stated is not the subject');
    if (hint !== '' && hints.has(hint)) continue;
    hints.add(hint);
    svids.push({ ...svid.value, hint });
  }
  return svids.length > 0 ? ok(svids) : invalid('it holds no JWT-SVID');
}

function readJwtBundles(response: JWTBundlesResponse): Result<ReadonlyMap<string, Bundle>> {
  const bundles = new Map<string, Bundle>();
  for (const [key, document] of Object.entries(response.bundles)) {
    const trustDomain = parseTrustDomain(key);
    if (!trustDomain.ok) return invalid(trustDomain.error.message);
    const parsed = parseJwtBundle(trustDomain.value, document);
    if (!parsed.ok) return invalid(parsed.error.message);
    bundles.set(trustDomain.value.name, parsed.value.bundle);
  }
  return bundles.size > 0 ? ok(bundles) : invalid('it holds no bundle');
}

function invalid(problem: string): Result<never> {
  return fail('WORKLOAD_RESPONSE_INVALID', `discarding a response of the Workload API: ${problem}`);
}
