import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** One process's metrics; names are given without the prefix. */
export interface Metrics {
  readonly registry: Registry;
  counter<L extends string = never>(name: string, help: string, labels?: readonly L[]): Counter<L>;
  gauge<L extends string = never>(name: string, help: string, labels?: readonly L[]): Gauge<L>;
  /** A gauge whose value is read whenever the metrics are asked for; undefined shows as NaN. */
  reading(name: string, help: string, read: () => number | undefined): void;
  /**
   * A counter or gauge with labels that its owner keeps as plain numbers, read whenever the metrics are
   * asked for: what happens at every call costs an addition instead of a search by labels.
   */
  kept<L extends string>(
    kind: 'counter' | 'gauge',
    name: string,
    help: string,
    labels: readonly L[],
    read: () => Iterable<readonly [Readonly<Record<L, string>>, number]>,
  ): void;
  /** Seconds, with buckets from 0.5 ms to 30 s. */
  seconds<L extends string = never>(
    name: string,
    help: string,
    labels?: readonly L[],
  ): Histogram<L>;
}

const SECONDS_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

/** Metrics under a prefix such as `signet_server`; each name may be made once. */
export function createMetrics(prefix: string): Metrics {
  const registry = new Registry();
  const options = <L extends string>(name: string, help: string, labels: readonly L[] = []) => ({
    name: `${prefix}_${name}`,
    help,
    labelNames: [...labels],
    registers: [registry],
  });
  return {
    registry,
    counter: (name, help, labels) => new Counter(options(name, help, labels)),
    gauge: (name, help, labels) => new Gauge(options(name, help, labels)),
    reading(name, help, read) {
      const gauge: Gauge = new Gauge({
        ...options(name, help),
        collect: () => gauge.set(read() ?? Number.NaN),
      });
    },
    kept(kind, name, help, labels, read) {
      const metric: Counter | Gauge = new (kind === 'counter' ? Counter : Gauge)({
        ...options<string>(name, help, labels),
        collect() {
          metric.reset();
          for (const [series, value] of read()) metric.inc(series, value);
        },
      });
    },
    seconds: (name, help, labels) =>
      new Histogram({ ...options(name, help, labels), buckets: SECONDS_BUCKETS }),
  };
}
