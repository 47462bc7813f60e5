/** What a check says: undefined when all is well, else why not. */
export type HealthCheck = () => string | undefined;

/** `live`: the process can do its work at all. `ready`: it can do it now. */
export type HealthKind = 'live' | 'ready';

/** The answer of all checks of a kind. */
export interface HealthReport {
  readonly ok: boolean;
  /** Why each failing check fails, by its name. */
  readonly failures: Readonly<Record<string, string>>;
}

/** Named checks of a process. Nothing runs unless somebody asks or tells. */
export interface Health {
  /** Adds a check that is asked at each report; a process that is not live is not ready. */
  add(name: string, kind: HealthKind, check: HealthCheck): void;
  /** Adds a part that tells its state itself; it starts as not ready, with this reason. */
  part(name: string, reason: string): HealthPart;
  report(kind: HealthKind): HealthReport;
  /** Calls `listener` when a part's state changed. Returns what ends it. */
  onChange(listener: () => void): () => void;
}

/** One part of the process that tells when it is ready. */
export interface HealthPart {
  ready(): void;
  notReady(reason: string): void;
}

/** An empty set of checks. */
export function createHealth(): Health {
  const checks = new Map<string, { readonly kind: HealthKind; readonly check: HealthCheck }>();
  const listeners = new Set<() => void>();
  const add = (name: string, kind: HealthKind, check: HealthCheck): void => {
    if (checks.has(name)) throw new TypeError(`health check "${name}" exists`);
    checks.set(name, { kind, check });
  };
  return {
    add,
    part(name, reason) {
      let state: string | undefined = reason;
      add(name, 'ready', () => state);
      const set = (next: string | undefined): void => {
        if (next === state) return;
        state = next;
        for (const listener of listeners) listener();
      };
      return { ready: () => set(undefined), notReady: set };
    },
    report: (kind) => collect(checks, kind),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function collect(
  checks: ReadonlyMap<string, { readonly kind: HealthKind; readonly check: HealthCheck }>,
  kind: HealthKind,
): HealthReport {
  const failures: Record<string, string> = {};
  for (const [name, { kind: of, check }] of checks) {
    if (kind === 'live' && of !== 'live') continue;
    const problem = check();
    if (problem !== undefined) failures[name] = problem;
  }
  return { ok: Object.keys(failures).length === 0, failures };
}
