import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../base/bytes.ts';
import { ok, unwrap } from '../base/result.ts';
import { openCheckpoint, parseCheckpoint, signCheckpoint } from './checkpoint.ts';
import { cosignedMessage, encodeCosignature, verifyCosignature } from './cosignature.ts';
import { EMPTY_ROOT } from './hash.ts';
import { formatNote, parseNote, verifyNote } from './note.ts';
import {
  createNoteVerifier,
  formatVerifierKey,
  type NoteSigner,
  parseVerifierKey,
} from './note-key.ts';
import { formatTilePath, parseTilePath, tilesOf, tileWidth } from './tile-path.ts';

const spkiOf = (key: KeyObject): Uint8Array => key.export({ type: 'spki', format: 'der' });

function signerOf(algorithm: 'ed25519' | 'ecdsa'): NoteSigner {
  const { publicKey, privateKey } =
    algorithm === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const digest = algorithm === 'ecdsa' ? 'sha256' : null;
  return {
    algorithm,
    publicKeySpki: spkiOf(publicKey),
    sign: async (message) => ok(sign(digest, message, privateKey)),
  };
}

const CHECKPOINT = { origin: 'example.org/log', size: 20_852_163, root: EMPTY_ROOT };

/** The example of C2SP tlog-cosignature; its witness's key is not part of it. */
const EXAMPLE = `example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
`;

test('the example of C2SP is read and written byte for byte', () => {
  const note = unwrap(parseNote(utf8(EXAMPLE)));
  assert.equal(Buffer.from(formatNote(note)).toString(), EXAMPLE);
  const checkpoint = unwrap(parseCheckpoint(note.text));
  assert.equal(checkpoint.size, 20_852_163);
  assert.equal(note.signatures[1]?.name, 'witness.example.com/w1');
  assert.equal(note.signatures[1]?.signature.length, 72);
});

for (const algorithm of ['ed25519', 'ecdsa'] as const) {
  describe(`checkpoints by ${algorithm}`, async () => {
    const signer = signerOf(algorithm);
    const verifier = unwrap(createNoteVerifier(CHECKPOINT.origin, algorithm, signer.publicKeySpki));
    const signed = unwrap(await signCheckpoint(CHECKPOINT, signer));

    test('are verified by the key as it is written down', () => {
      const written = unwrap(parseVerifierKey(formatVerifierKey(verifier)));
      const { origin, size, root } = unwrap(openCheckpoint(signed.bytes, written));
      assert.deepEqual({ origin, size, root: Buffer.from(root) }, CHECKPOINT);
    });

    test('are refused when any byte of them is another', () => {
      fc.assert(
        fc.property(fc.nat(signed.bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
          const bytes = Uint8Array.from(signed.bytes);
          bytes[at] = (bytes[at] ?? 0) ^ by;
          assert.equal(openCheckpoint(bytes, verifier).ok, false);
        }),
      );
    });

    test('are refused by another key, and by the same key under another name', () => {
      const other = unwrap(
        createNoteVerifier(CHECKPOINT.origin, algorithm, signerOf(algorithm).publicKeySpki),
      );
      const renamed = unwrap(
        createNoteVerifier('example.org/other', algorithm, signer.publicKeySpki),
      );
      for (const key of [other, renamed]) {
        const opened = openCheckpoint(signed.bytes, key);
        assert.equal(!opened.ok && opened.error.code, 'LEDGER_NOTE_UNTRUSTED');
      }
    });
  });
}

test('a note with one wrong signature under a known key is refused as a whole', async () => {
  const signer = signerOf('ed25519');
  const { note } = unwrap(await signCheckpoint(CHECKPOINT, signer));
  const verifier = unwrap(createNoteVerifier(CHECKPOINT.origin, 'ed25519', signer.publicKeySpki));
  const [right] = note.signatures;
  const wrong = { ...right!, signature: new Uint8Array(64) };
  unwrap(verifyNote(note, verifier));
  assert.equal(verifyNote({ ...note, signatures: [right!, wrong] }, verifier).ok, false);
});

test('a checkpoint signed for another origin than the name of the key is refused', async () => {
  const signer = signerOf('ed25519');
  const verifier = unwrap(createNoteVerifier('example.org/log', 'ed25519', signer.publicKeySpki));
  const text = `example.org/victim\n1\n${Buffer.from(EMPTY_ROOT).toString('base64')}\n`;
  const signature = unwrap(await signer.sign(utf8(text)));
  const line = { name: verifier.name, keyId: verifier.keyId, signature };
  const opened = openCheckpoint(formatNote({ text, signatures: [line] }), verifier);
  assert.equal(!opened.ok && opened.error.code, 'LEDGER_NOTE_UNTRUSTED');
});

test('malformed notes, checkpoints and keys are refused with a code', () => {
  const notes = [
    '',
    '\n',
    'text\n',
    'text\n\n',
    'text\n\n— a AAAAAAA=',
    'text\n\n- a AAAAAAA=\n',
    'text\n\n—  AAAAAAA=\n',
    'text\n\n— a+b AAAAAAA=\n',
    'text\n\n— a AAAAAA==\n',
    'text\n\n— a AAAAAAA\n',
    'text\n\n— a AAAAAAA= x\n',
    'te\rxt\n\n— a AAAAAAA=\n',
    `text\n\n${'— a AAAAAAA=\n'.repeat(101)}`,
  ];
  for (const text of notes) {
    const note = parseNote(utf8(text));
    assert.equal(!note.ok && note.error.code, 'LEDGER_NOTE_INVALID', JSON.stringify(text));
  }
  assert.equal(parseNote(utf8(`text\n\n${'— a AAAAAAA=\n'.repeat(100)}`)).ok, true);
  assert.equal(parseNote(Uint8Array.of(0xff, 10, 10)).ok, false);
  const root = Buffer.from(EMPTY_ROOT).toString('base64');
  const checkpoints = [
    '',
    `\n1\n${root}\n`,
    `o\n01\n${root}\n`,
    `o\n-1\n${root}\n`,
    `o\n9007199254740992\n${root}\n`,
    `o\n1\n${root}`,
    `o\n1\n${root.slice(4)}\n`,
    `o\n1\n${root}\n\n`,
  ];
  for (const text of checkpoints) {
    const checkpoint = parseCheckpoint(text);
    assert.equal(!checkpoint.ok && checkpoint.error.code, 'LEDGER_NOTE_INVALID', text);
  }
  unwrap(parseCheckpoint(`o\n9007199254740991\n${root}\nextension\n`));
  const key = 'example.org/log+00000000+AQ==';
  for (const text of ['', 'a+b', key, `${key}+`, 'a b+00000000+AQ==']) {
    const parsed = parseVerifierKey(text);
    assert.equal(!parsed.ok && parsed.error.code, 'LEDGER_NOTE_INVALID', text);
  }
});

describe('cosignature/v1', async () => {
  const log = signerOf('ed25519');
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const witness = unwrap(
    createNoteVerifier('witness.example/w1', 'cosignature', spkiOf(publicKey)),
  );
  const { note } = unwrap(await signCheckpoint(CHECKPOINT, log));
  const cosigned = (time: bigint, text = note.text) => {
    const signature = sign(null, cosignedMessage(text, time), privateKey);
    const { name, keyId } = witness;
    const line = { name, keyId, signature: encodeCosignature(time, signature) };
    return { ...note, signatures: [...note.signatures, line] };
  };

  test("a witness's cosignature is verified and tells its time", () => {
    assert.equal(unwrap(verifyCosignature(cosigned(1_679_315_147n), witness)), 1_679_315_147n);
    assert.deepEqual(unwrap(parseVerifierKey(formatVerifierKey(witness))).keyId, witness.keyId);
  });

  test('the signature over another time, text or without the prefix is refused', () => {
    const good = cosigned(1_679_315_147n);
    const [own, line] = good.signatures;
    const later = encodeCosignature(1_679_315_148n, line!.signature.subarray(8));
    const plain = encodeCosignature(1n, sign(null, utf8(note.text), privateKey));
    const cases = [
      { ...good, signatures: [own!, { ...line!, signature: later }] },
      { ...good, signatures: [own!, { ...line!, signature: plain }] },
      { ...good, signatures: [own!, { ...line!, signature: line!.signature.subarray(1) }] },
      cosigned(1n, `${note.text}x\n`),
      cosigned(1n << 63n),
      note,
    ];
    for (const bad of cases) {
      const verified = verifyCosignature(bad, witness);
      assert.equal(!verified.ok && verified.error.code, 'LEDGER_NOTE_UNTRUSTED');
    }
  });

  test("a witness's key does not pass for the log's, nor the other way round", () => {
    const asLog = unwrap(createNoteVerifier(CHECKPOINT.origin, 'ed25519', log.publicKeySpki));
    assert.equal(verifyCosignature(cosigned(1n), asLog).ok, false);
    assert.equal(verifyNote(cosigned(1n), witness).ok, false);
  });
});

describe('tile paths (C2SP tlog-tiles)', () => {
  const PATHS: readonly (readonly [string, ReturnType<typeof parseTilePath>])[] = [
    ['tile/0/000', { level: 0, index: 0, width: 256 }],
    ['tile/0/x001/x234/067', { level: 0, index: 1_234_067, width: 256 }],
    ['tile/3/x001/000.p/1', { level: 3, index: 1000, width: 1 }],
    ['tile/entries/999.p/255', { level: 'entries', index: 999, width: 255 }],
    ['tile/0/1', undefined],
    ['tile/0/0001', undefined],
    ['tile/0/x000/001', undefined],
    ['tile/00/001', undefined],
    ['tile/7/001', undefined],
    ['tile/0/000.p/0', undefined],
    ['tile/0/000.p/256', undefined],
    ['tile/0/000.p/01', undefined],
    ['tile/0/../000', undefined],
    ['/tile/0/000', undefined],
    ['tile/0/000/', undefined],
  ];
  for (const [path, tile] of PATHS) {
    test(`${path} is ${tile === undefined ? 'no tile' : 'a tile'}`, () => {
      assert.deepEqual(parseTilePath(path), tile);
      if (tile !== undefined) assert.equal(formatTilePath(tile), path);
    });
  }

  test('a tree has full tiles, then at most one partial tile on each level', () => {
    assert.deepEqual(
      [...tilesOf(256 * 256 + 300)].filter(
        ({ level, index }) => index > 254 || index === 0 || level === 1,
      ),
      [
        { level: 'entries', index: 0, width: 256 },
        { level: 0, index: 0, width: 256 },
        { level: 'entries', index: 255, width: 256 },
        { level: 0, index: 255, width: 256 },
        { level: 'entries', index: 256, width: 256 },
        { level: 0, index: 256, width: 256 },
        { level: 'entries', index: 257, width: 44 },
        { level: 0, index: 257, width: 44 },
        { level: 1, index: 0, width: 256 },
        { level: 1, index: 1, width: 1 },
        { level: 2, index: 0, width: 1 },
      ],
    );
    assert.deepEqual([...tilesOf(0)], []);
    assert.equal(tileWidth(0, 1, 256), 0);
    assert.equal(tileWidth(0, 1, 257), 1);
  });
});
