/** Longest reason that the protocol takes, in bytes. */
export const MAX_REASON_BYTES = 1024;

/** Control and format characters: colours of terminals, turned writing direction, NUL. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A text of somebody else's for a log, a variable or a reason: on one line, nothing unseen in it, cut. */
export function printable(text: string, maxBytes = MAX_REASON_BYTES): string {
  // Cut first: what is left out need not be looked through.
  return clipped(clipped(text, 4 * maxBytes).replace(UNSEEN, '?'), maxBytes);
}

/** A text cut to so many bytes of UTF-8, on a whole character. */
export function clipped(text: string, maxBytes = MAX_REASON_BYTES): string {
  // A character of UTF-16 is at most three bytes.
  const bytes = Buffer.from(text.slice(0, maxBytes));
  if (bytes.length <= maxBytes && text.length <= maxBytes) return text;
  return bytes
    .subarray(0, maxBytes)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
}
