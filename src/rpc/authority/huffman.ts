/**
 * Bits of each symbol's code (RFC 7541 appendix B), base 36, symbols 0–255 and EOS. The code is
 * canonical: lengths alone give it, so that there is no table of codes to mistype.
 */
const CODE_LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq' +
  'u';

const EOS = 256;

/**
 * The code as a tree: entries 2n and 2n + 1 are where node n leads on a 0 and a 1; negative entries
 * are leaves, the complement of their symbol.
 */
const TREE = buildTree(Array.from(CODE_LENGTHS, (digit) => Number.parseInt(digit, 36)));

/**
 * Builds the tree of a canonical Huffman code.
 *
 * @throws TypeError when the lengths leave a gap or overlap (Kraft's sum is not exactly 1).
 */
export function buildTree(lengths: readonly number[]): Int16Array {
  const longest = Math.max(...lengths);
  const kraft = lengths.reduce((sum, bits) => sum + 2 ** (longest - bits), 0);
  if (kraft !== 2 ** longest) throw new TypeError('Huffman code lengths do not fill the code');
  const tree = new Int16Array(2 * (lengths.length - 1));
  let nodes = 1;
  let code = 0;
  for (let bits = 1; bits <= longest; bits++, code *= 2) {
    for (const [symbol, length] of lengths.entries()) {
      if (length !== bits) continue;
      let node = 0;
      for (let shift = bits - 1; shift > 0; shift--) {
        const slot = 2 * node + ((code >>> shift) & 1);
        if (tree[slot] === 0) tree[slot] = nodes++;
        node = tree[slot] ?? 0;
      }
      tree[2 * node + (code & 1)] = ~symbol;
      code++;
    }
  }
  return tree;
}

/**
 * Decodes a Huffman-coded string to latin1 text; undefined when it holds EOS or its padding is not
 * fewer than eight ones (RFC 7541 §5.2).
 */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string | undefined {
  // The shortest code has five bits.
  const out = Buffer.allocUnsafe(Math.floor(((end - start) * 8) / 5));
  let length = 0;
  let node = 0;
  let pending = 0;
  let ones = true;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    for (let shift = 7; shift >= 0; shift--) {
      const bit = (byte >>> shift) & 1;
      const next = TREE[2 * node + bit] ?? 0;
      if (next >= 0) {
        node = next;
        pending++;
        ones &&= bit === 1;
        continue;
      }
      if (~next === EOS) return undefined;
      out[length++] = ~next;
      node = 0;
      pending = 0;
      ones = true;
    }
  }
  return pending < 8 && ones ? out.toString('latin1', 0, length) : undefined;
}
