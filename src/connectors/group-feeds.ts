import type { Cancel, Clock } from '../base/clock.ts';
import {
  SegmentFeed,
  type SegmentMessages,
  type SegmentSource,
  type SegmentVersion,
} from './segment-feed.ts';

/** How long changes are gathered before they are read, in milliseconds. */
const GATHER_MS = 20;

/** What reading cost, times this, is how long the next reading waits at least: a sixth of a core at most. */
const REST_FACTOR = 5;

/** What feeds stand on. */
export interface GroupFeedsOptions {
  readonly view: SegmentSource;
  readonly clock: Clock;
  /** Whether anybody has to be told of a group's versions; the others are read when they are asked for. */
  readonly isWatched: (group: string) => boolean;
  /** Told when a watched group may have another version. */
  readonly onVersion: (group: string) => void;
}

/** The segments of all groups. A group is read when it is first asked for, and when it changes. */
export class GroupFeeds {
  readonly #options: GroupFeedsOptions;
  readonly #feeds = new Map<string, SegmentFeed>();
  readonly #stale = new Set<string>();
  readonly #changed = new Set<string>();
  #cancel: Cancel | undefined;
  #readMs = 0;

  constructor(options: GroupFeedsOptions) {
    this.#options = options;
  }

  /** The newest version of a group's segments. */
  current(group: string): SegmentVersion {
    return this.#feed(group).current;
  }

  /** See {@link SegmentFeed.messagesFrom}. */
  messagesFrom(group: string, version: string): SegmentMessages {
    return this.#feed(group).messagesFrom(version);
  }

  /** Notes that groups, or segments of theirs, changed. */
  changed(groups: Iterable<string>): void {
    for (const group of groups) {
      if (!this.#feeds.has(group)) continue;
      this.#stale.add(group);
      this.#changed.add(group);
    }
    if (this.#changed.size === 0 || this.#cancel !== undefined) return;
    const waitMs = Math.max(GATHER_MS, this.#readMs * REST_FACTOR);
    this.#cancel = this.#options.clock.after(waitMs, () => this.#readChanged());
  }

  close(): void {
    this.#cancel?.();
    this.#feeds.clear();
  }

  #readChanged(): void {
    this.#cancel = undefined;
    const changed = [...this.#changed];
    this.#changed.clear();
    const { clock, isWatched, onVersion } = this.#options;
    const startedMs = clock.monotonicMs();
    const watched = changed.filter(isWatched);
    for (const group of watched) this.#feed(group);
    this.#readMs = clock.monotonicMs() - startedMs;
    // One that nobody watches is read when it is asked for again, from nothing.
    for (const group of changed) if (!isWatched(group)) this.#forget(group);
    for (const group of watched) onVersion(group);
  }

  #forget(group: string): void {
    if (this.#stale.delete(group)) this.#feeds.delete(group);
  }

  #feed(group: string): SegmentFeed {
    let feed = this.#feeds.get(group);
    if (feed === undefined) {
      feed = new SegmentFeed(group, this.#options.view);
      this.#feeds.set(group, feed);
    } else if (this.#stale.has(group)) {
      feed.refresh();
    }
    this.#stale.delete(group);
    return feed;
  }
}
