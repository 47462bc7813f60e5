/**
 * A process that delivers lines on its stdout and, meanwhile, tells on stderr that everything else
 * goes on. Argument: number of lines. Says `delivered` or the code of the refusal.
 */
import { writeSync } from 'node:fs';
import { createStdoutSink } from '../../src/audit/stdout-sink.ts';

const count = Number(process.argv[2]);
const lines = Array.from({ length: count }, (_, index) => ({
  origin: 'o',
  index,
  timeMs: 0,
  text: JSON.stringify({ index, filler: 'x'.repeat(1000) }),
}));
let ticks = 0;
const timer = setInterval(() => {
  ticks += 1;
  writeSync(2, `tick ${ticks}\n`);
}, 5);
const sink = createStdoutSink();
const delivered = await sink.deliver(lines, new AbortController().signal);
writeSync(2, delivered.ok ? 'delivered\n' : `${delivered.error.code}\n`);
await sink.close();
clearInterval(timer);
