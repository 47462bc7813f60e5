import { readdirSync } from 'node:fs';
import { Gauge } from 'prom-client';
import type { Metrics } from './metrics.ts';

/**
 * What every process tells of itself, under the names that dashboards know. Worked out when asked for:
 * nothing runs in between.
 */
export function addProcessMetrics(metrics: Metrics): void {
  const gauge = (name: string, help: string, read: () => number | undefined): void => {
    new Gauge({
      name,
      help,
      registers: [metrics.registry],
      collect() {
        const value = read();
        if (value !== undefined) this.set(value);
      },
    });
  };
  gauge('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss());
  gauge('process_cpu_seconds_total', 'Processor time of the process.', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  gauge(
    'process_start_time_seconds',
    'Unix time of the start.',
    () => performance.timeOrigin / 1e3,
  );
  gauge('process_open_fds', 'Open file descriptors.', openDescriptors);
}

function openDescriptors(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}
