/**
 * Characters that a terminal acts on or that hide or reorder text: controls, format characters and
 * line separators.
 */
const UNPLAIN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
const EACH_UNPLAIN = new RegExp(UNPLAIN, 'gu');

/** Whether a text is one plain line of at most so many characters, with nothing that a terminal would obey. */
export function isPlainText(text: string, maxLength: number): boolean {
  return text.length <= maxLength && !UNPLAIN.test(text);
}

/**
 * Text from elsewhere as one plain line of at most so many characters: what a terminal, a log or a status
 * would obey becomes spaces, half a character what Unicode has for it.
 */
export function plainText(text: string, maxLength: number): string {
  const short = text.slice(0, maxLength);
  return short.toWellFormed().replace(EACH_UNPLAIN, ' ');
}
