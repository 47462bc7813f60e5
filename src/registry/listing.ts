import { fail, ok, type Result } from '../base/result.ts';
import type { Page, PageQuery } from './registry.ts';
import type { SortedKeys } from './sorted-keys.ts';

/** Version of the tokens, so that another kind of them can be told apart later. */
const TOKEN_PREFIX = '1:';

/** What a list is made from. */
export interface ListSource<T> {
  readonly keys: SortedKeys;
  readonly get: (key: string) => T | undefined;
  readonly matches: (item: T) => boolean;
  readonly keyOf: (item: T) => string;
  /** The only items that can match, where an index tells them. */
  readonly candidates: Iterable<T> | undefined;
}

/**
 * One page in the order of keys. A token names the last key of the page before, so that what was
 * added or deleted meanwhile neither repeats nor hides anything else. Fails with PAGE_TOKEN.
 */
export function listPage<T>(source: ListSource<T>, query: PageQuery): Result<Page<T>> {
  const after = decodeToken(query.pageToken);
  if (!after.ok) return after;
  const items: T[] = [];
  for (const item of itemsAfter(source, after.value)) {
    if (!source.matches(item)) continue;
    const last = items.at(-1);
    if (query.pageSize > 0 && items.length === query.pageSize && last !== undefined) {
      return ok({ items, nextPageToken: encodeToken(source.keyOf(last)) });
    }
    items.push(item);
  }
  return ok({ items, nextPageToken: '' });
}

/** How many items match. */
export function countMatching<T>(items: Iterable<T>, matches: (item: T) => boolean): number {
  let count = 0;
  for (const item of items) if (matches(item)) count += 1;
  return count;
}

function* itemsAfter<T>(source: ListSource<T>, after: string): Generator<T> {
  const { keys, get, keyOf, candidates } = source;
  if (candidates !== undefined) {
    const sorted = [...candidates].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
    for (const item of sorted) if (keyOf(item) > after) yield item;
    return;
  }
  for (const key of keys.after(after, (kept) => get(kept) !== undefined)) {
    const item = get(key);
    if (item !== undefined) yield item;
  }
}

function encodeToken(key: string): string {
  return Buffer.from(TOKEN_PREFIX + key).toString('base64url');
}

function decodeToken(token: string): Result<string> {
  if (token === '') return ok('');
  const text = Buffer.from(token, 'base64url').toString();
  const exact = text.startsWith(TOKEN_PREFIX) && Buffer.from(text).toString('base64url') === token;
  return exact
    ? ok(text.slice(TOKEN_PREFIX.length))
    : fail('PAGE_TOKEN', 'page token is malformed');
}
