import { KMSClient, type KMSClientConfig } from '@aws-sdk/client-kms';
import type { ErrorCode } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { PacedCalls } from '../outside/paced-calls.ts';
import { kmsFault } from './kms-faults.ts';

/** Where KMS is, and who we are to it. */
export interface KmsPlace {
  /** The SDK's own way to a region (environment, profile) unless given. */
  readonly region?: string | undefined;
  /** AWS's own unless given. */
  readonly endpoint?: string | undefined;
  /** The SDK's chain (environment, profile, SSO, web identity, ECS, IMDS) unless given. */
  readonly credentials?: KMSClientConfig['credentials'];
}

/** What a call hands the SDK beside the command. */
export interface SendOptions {
  readonly abortSignal: AbortSignal;
}

/**
 * Calls to KMS by the SDK's client, each paced and tried again by us: the SDK's own retry of a
 * throttled call takes 2 s. With `direct` there is one for each SVID, so the client is kept lean.
 */
export class KmsCalls {
  readonly #client: KMSClient;
  readonly #paced: PacedCalls;

  constructor(place: KmsPlace, paced: PacedCalls, inFlight: number) {
    this.#paced = paced;
    // As many idle connections as busy ones: more would be closed, and made again, with each batch.
    const agent = { keepAlive: true, maxSockets: inFlight, maxFreeSockets: inFlight };
    this.#client = new KMSClient({
      maxAttempts: 1,
      retryStrategy: { mode: 'none', retry: (next, args) => next(args) },
      requestHandler: { httpsAgent: agent, httpAgent: agent },
      ...(place.region === undefined ? {} : { region: place.region }),
      ...(place.endpoint === undefined ? {} : { endpoint: place.endpoint }),
      ...(place.credentials === undefined ? {} : { credentials: place.credentials }),
    });
    makeLean(this.#client);
  }

  /** Refuses with KEY_MANAGER_SETTINGS where neither settings nor surroundings name a region. */
  async checkRegion(): Promise<Result<void>> {
    try {
      await this.#client.config.region();
      return ok(undefined);
    } catch (cause) {
      const message = 'no AWS region: set keys.awsKms.region or AWS_REGION';
      return fail('KEY_MANAGER_SETTINGS', message, { cause });
    }
  }

  /** One call by the SDK's client; `repeatOn` as for {@link PacedCalls.run}. */
  send<T>(
    operation: string,
    run: (client: KMSClient, options: SendOptions) => Promise<T>,
    repeatOn?: readonly ErrorCode[],
  ): Promise<Result<T>> {
    return this.#paced.run<T>({
      operation,
      attempt: async (abortSignal) => {
        try {
          return ok(await run(this.#client, { abortSignal }));
        } catch (thrown) {
          return kmsFault(thrown, operation);
        }
      },
      ...(repeatOn === undefined ? {} : { repeatOn }),
    });
  }

  close(): void {
    this.#client.destroy();
  }
}

/** Parts of the client that nobody here has use for, by the names that the SDK gives them. */
const UNUSED = ['loggerMiddleware', 'recursionDetectionMiddleware', 'getUserAgentMiddleware'];

/**
 * A third less CPU for each call. The signer is made once, in place of each time: its region and
 * service are those of the client, its credentials are asked for at each signature. What tells CloudTrail
 * who called is a constant.
 */
function makeLean({ config, middlewareStack }: KMSClient): void {
  const makeSigner = config.signer;
  let signer: ReturnType<typeof makeSigner> | undefined;
  config.signer = (scheme) => {
    signer ??= makeSigner(scheme).catch((refused) => {
      signer = undefined;
      throw refused;
    });
    return signer;
  };
  for (const name of UNUSED) middlewareStack.remove(name);
  middlewareStack.add(
    (next) => (args) => {
      // The step "build" comes after the one that makes the request.
      const { headers } = args.request as { headers: Record<string, string> };
      headers['user-agent'] = 'signet';
      return next(args);
    },
    { step: 'build', name: 'signetUserAgent' },
  );
}
