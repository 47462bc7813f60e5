import { writeFileSync } from 'node:fs';

/** Figures by row and column; undefined where a column says nothing of a row. */
export type Figures = Readonly<Record<string, Readonly<Record<string, number | undefined>>>>;

/** Prints a benchmark's figures as a table and writes them to `bench-<name>.json`. */
export function report(name: string, figures: Figures): void {
  const shown = Object.entries(figures).map(([row, columns]) => [
    row,
    Object.fromEntries(
      Object.entries(columns).map(([column, value]) => [column, value?.toFixed(1) ?? '']),
    ),
  ]);
  console.table(Object.fromEntries(shown));
  writeFileSync(`bench-${name}.json`, `${JSON.stringify(figures, null, 2)}\n`);
}

/** The value below which a part of the samples lies. */
export function quantile(samples: readonly number[], part: number): number {
  return samples.toSorted((a, b) => a - b)[Math.floor(samples.length * part)] ?? 0;
}
