import {
  Channel,
  type ChannelCredentials,
  type ClientOptions,
  credentials as grpcCredentials,
} from '@grpc/grpc-js';

/** A generated client's constructor. */
export type ClientConstructor<C> = new (
  address: string,
  credentials: ChannelCredentials,
  options?: Partial<ClientOptions>,
) => C;

/** A connection to one server that any number of generated clients share. */
export interface RpcChannel {
  /** A generated client on this channel; closing the channel ends it. */
  client<C>(type: ClientConstructor<C>): C;
  /** The channel itself: its connectivity state and the like. */
  readonly channel: Channel;
  close(): void;
}

/** Options of every channel of ours; callers add theirs. */
export interface ChannelSettings {
  /** Longest answer that is read, in bytes. */
  readonly maxReceiveBytes?: number;
  /** Further options of grpc-js, such as keep-alive times. */
  readonly options?: Partial<ClientOptions>;
}

/** Longest answer that is read unless said otherwise, in bytes. */
const MAX_RECEIVE_BYTES = 64 * 1024 * 1024;

/** A channel to a Unix socket (admin and Workload API clients); connects when first used. */
export function openUnixChannel(path: string, settings: ChannelSettings = {}): RpcChannel {
  return openChannel(`unix:${path}`, grpcCredentials.createInsecure(), {
    ...settings,
    options: { 'grpc.default_authority': 'localhost', ...settings.options },
  });
}

/** A channel to a target with given credentials. Not shared with any other channel. */
export function openChannel(
  target: string,
  credentials: ChannelCredentials,
  settings: ChannelSettings = {},
): RpcChannel {
  const options: ClientOptions = {
    'grpc.max_receive_message_length': settings.maxReceiveBytes ?? MAX_RECEIVE_BYTES,
    'grpc.enable_channelz': 0,
    // Without this, channels with equal targets and credentials share connections, thus identities.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    ...settings.options,
  };
  const channel = new Channel(target, credentials, options);
  return {
    channel,
    client: (type) => new type(target, credentials, { channelOverride: channel }),
    close: () => channel.close(),
  };
}
