import { ok, type Result } from '../../base/result.ts';

/** Decodes every row, or answers with the first refusal. */
export function all<Row, Value>(
  rows: readonly Row[],
  decode: (row: Row) => Result<Value>,
): Result<readonly Value[]> {
  const values: Value[] = [];
  for (const row of rows) {
    const value = decode(row);
    if (!value.ok) return value;
    values.push(value.value);
  }
  return ok(values);
}
