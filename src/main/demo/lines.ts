import type { Duplex } from 'node:stream';

/** Longest line that is read, in characters. */
const MAX_LINE = 64 * 1024;

/** Calls `onLine` with every line that arrives; ends a stream whose line never ends. */
export function onLines(stream: Duplex, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE) stream.destroy();
    for (const line of lines) onLine(line);
  });
}
