/** What a watcher says of the connector that it watches. */
export interface WatchedConnector {
  /** `unknown` while nothing was seen yet; it degrades nothing. */
  readonly health: 'ok' | 'degraded' | 'unknown';
  /** Why it is degraded, for people; empty else. At most 1,024 bytes are sent. */
  readonly reason: string;
  /** What was seen, such as days until the connector's own certificate ends; shown by the local socket. */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
  /** Flows that are open; undefined where it cannot know. */
  readonly activeFlows: number | undefined;
}

/**
 * Looks at one kind of connector that speaks no protocol of ours: at its log, its status page. The
 * companion asks at each heartbeat and whenever it is told of a change.
 */
export interface ConnectorWatcher {
  /** Such as `zpa`; names it in health, metrics and events. */
  readonly name: string;
  current(): WatchedConnector;
  /** Calls `listener` when health or reason changed. Returns what ends that. */
  onChange(listener: () => void): () => void;
  close(): Promise<void>;
}
