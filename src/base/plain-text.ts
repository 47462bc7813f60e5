/**
 * Characters that a terminal acts on or that hide or reorder text: controls, format characters and
 * line separators.
 */
const UNPLAIN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Text from elsewhere as one plain line of at most so many characters: what a terminal, a log or a status
 * would obey becomes spaces, half a character what Unicode has for it.
 */
export function plainText(text: string, maxLength: number): string {
  const short = text.slice(0, maxLength);
  return short.toWellFormed().replace(UNPLAIN, ' ');
}
