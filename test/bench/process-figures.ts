import { readFileSync } from 'node:fs';

/** Clock ticks a second in `/proc`, on all that Linux runs on. */
const TICKS_PER_SECOND = 100;

function statusMib(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024;
}

/** Memory of a process that is in RAM now, in MiB. */
export function residentMib(pid: number): number {
  return statusMib(pid, 'VmRSS');
}

/** The most that it ever was, in MiB. */
export function peakMib(pid: number): number {
  return statusMib(pid, 'VmHWM');
}

/** Milliseconds of CPU that a process has taken, all its threads, user and system. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may hold blanks.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}
