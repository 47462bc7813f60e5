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

/** Calls to KMS, each paced and tried again by us: the SDK's own retry of a throttled call takes 2 s. */
export class KmsCalls {
  readonly #client: KMSClient;
  readonly #paced: PacedCalls;

  constructor(place: KmsPlace, paced: PacedCalls, inFlight: number) {
    this.#paced = paced;
    const agent = { maxSockets: inFlight, keepAlive: true };
    this.#client = new KMSClient({
      maxAttempts: 1,
      requestHandler: { httpsAgent: agent, httpAgent: agent },
      ...(place.region === undefined ? {} : { region: place.region }),
      ...(place.endpoint === undefined ? {} : { endpoint: place.endpoint }),
      ...(place.credentials === undefined ? {} : { credentials: place.credentials }),
    });
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
