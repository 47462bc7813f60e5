import type { HeaderField } from './hpack.ts';

/** What nghttp2 takes as `:authority` and `host`. */
const ACCEPTED = /^[A-Za-z0-9\-._~!$&'()*+,;=:%[\]@]+$/;

/**
 * Whether nghttp2 would reset this request for its `:authority` alone: exactly one that is empty or
 * holds a character outside its set, or none without a `host`. Two authorities or a list without
 * `:method` are other faults, and nghttp2's to judge.
 */
export function needsAuthority(fields: readonly HeaderField[]): boolean {
  if (!fields.some(({ name }) => name === ':method')) return false;
  const authorities = fields.filter(({ name }) => name === ':authority');
  const [only] = authorities;
  if (only === undefined) return !fields.some(({ name }) => name === 'host');
  return authorities.length === 1 && !ACCEPTED.test(only.value);
}

/** The request with `localhost` as authority, first, and without a `host` that would be refused. */
export function withAuthority(fields: readonly HeaderField[]): readonly HeaderField[] {
  const kept = fields.filter(
    ({ name, value }) => name !== ':authority' && (name !== 'host' || ACCEPTED.test(value)),
  );
  return [{ name: ':authority', value: 'localhost' }, ...kept];
}
