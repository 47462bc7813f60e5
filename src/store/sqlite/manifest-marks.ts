import type { Database } from './database.ts';
import type { AnswerOf, ArgsOf } from './protocol.ts';

/**
 * Raises marks, all or none: where one is kept with a higher sequence, or with the same of another
 * content, nothing is written. Answers how each stands afterwards.
 */
export function raiseManifestMarks(
  db: Database,
  { marks }: ArgsOf<'raiseManifestMarks'>,
): AnswerOf<'raiseManifestMarks'> {
  const kept = marks.map(({ id }) =>
    db.get<(typeof marks)[number]>(
      'SELECT id, sequence, sha256 FROM manifest_marks WHERE id = ?',
      id,
    ),
  );
  const refused = marks.some(({ sequence, sha256 }, at) => {
    const before = kept[at];
    if (before === undefined || before.sequence < sequence) return false;
    return before.sequence > sequence || before.sha256 !== sha256;
  });
  if (refused) return marks.map((mark, at) => kept[at] ?? { ...mark, sequence: 0, sha256: '' });
  for (const { id, sequence, sha256 } of marks) {
    db.run('INSERT OR REPLACE INTO manifest_marks VALUES (?, ?, ?)', id, sequence, sha256);
  }
  return marks;
}
