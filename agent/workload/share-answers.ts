import type { Clock } from '../../src/base/clock.ts';
import type { Result } from '../../src/base/result.ts';

/**
 * Asks once for all who ask the same while the answer is under way, and for `keepMs` after it came: the
 * processes of one job or namespace start together. A refusal is not kept.
 */
export function shareAnswers<K extends string, T>(
  ask: (key: K) => Promise<Result<T>>,
  keepMs: number,
  clock: Clock,
): (key: K) => Promise<Result<T>> {
  const answers = new Map<K, Promise<Result<T>>>();
  return (key) => {
    const known = answers.get(key);
    if (known !== undefined) return known;
    const work = ask(key);
    answers.set(key, work);
    const forget = (): void => {
      answers.delete(key);
    };
    void work.then((answer) => {
      if (answer.ok) clock.after(keepMs, forget);
      else forget();
    }, forget);
    return work;
  };
}
