/**
 * A reporter that prints one last line: `N passed, N failed, N skipped`. Runs beside `spec`. Only the
 * summary of the whole run counts; each file has one of its own before it.
 * @param {AsyncIterable<{ type: string, data: { file?: string, counts?: Record<string, number> } }>} source
 */
// biome-ignore lint/style/noDefaultExport: node:test takes a reporter from the default export.
export default async function* reporter(source) {
  for await (const { type, data } of source) {
    if (type !== 'test:summary' || data.file !== undefined) continue;
    const { passed, failed, cancelled, skipped, todo } = data.counts;
    yield `${passed} passed, ${failed + cancelled} failed, ${skipped + todo} skipped\n`;
  }
}
