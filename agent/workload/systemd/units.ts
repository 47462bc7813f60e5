import { fail, ok, type Result } from '../../../src/base/result.ts';
import { isKubeObject, textAt, valueAt } from '../../../src/kube/objects.ts';
import { runTool } from '../run-tool.ts';

/** What systemd says of a unit. */
export interface Unit {
  /** Such as `web.service`. */
  readonly id: string;
  /** Its unit file; empty for units that have none, such as scopes. */
  readonly fragmentPath: string;
}

/** Answers the unit of a process. */
export type UnitOf = (pid: number) => Promise<Result<Unit>>;

/** How systemd is asked. */
export interface SystemdPlace {
  readonly busctlPath: string;
  /** D-Bus address of the system bus; the usual one unless set. */
  readonly busAddress?: string | undefined;
}

const SYSTEMD = 'org.freedesktop.systemd1';

/**
 * Asks systemd over D-Bus by its own tool, `busctl`: a process's unit, then the unit's name and file.
 * Fails with AGENT_UNIT_UNKNOWN, also for a process without a unit.
 */
export function askSystemd({ busctlPath, busAddress }: SystemdPlace): UnitOf {
  const bus = busAddress === undefined ? '--system' : `--address=${busAddress}`;
  const ask = (...args: readonly string[]): Promise<Result<string>> =>
    runTool({
      path: busctlPath,
      args: [bus, '--json=short', '--timeout=4', ...args],
      env: {},
      code: 'AGENT_UNIT_UNKNOWN',
    });
  return async (pid) => {
    const manager = [SYSTEMD, '/org/freedesktop/systemd1', `${SYSTEMD}.Manager`] as const;
    const found = await ask('call', ...manager, 'GetUnitByPID', 'u', `${pid}`);
    if (!found.ok) return found;
    const path = parseUnitPath(found.value);
    if (!path.ok) return path;
    const facts = await ask(
      'get-property',
      SYSTEMD,
      path.value,
      `${SYSTEMD}.Unit`,
      'Id',
      'FragmentPath',
    );
    return facts.ok ? parseUnit(facts.value) : facts;
  };
}

/** Reads the answer to GetUnitByPID: `{"type":"o","data":["/org/…"]}`. */
export function parseUnitPath(text: string): Result<string> {
  const answer = parseLine(text.trim());
  const data = answer === undefined ? undefined : valueAt(answer, 'data');
  const path: unknown = Array.isArray(data) && data.length === 1 ? data[0] : undefined;
  // Goes into the next call: nothing but the path of a unit may.
  if (
    typeof path === 'string' &&
    /^\/org\/freedesktop\/systemd1\/unit\/[A-Za-z0-9_]+$/.test(path)
  ) {
    return ok(path);
  }
  return fail('AGENT_UNIT_UNKNOWN', 'systemd answered with what is no unit');
}

/** Reads the two properties, a line each: `{"type":"s","data":"web.service"}`. */
export function parseUnit(text: string): Result<Unit> {
  const lines = text.trim().split('\n').map(parseLine);
  const [id, fragmentPath] = lines.map((line) =>
    line === undefined ? undefined : textAt(line, 'data'),
  );
  if (lines.length !== 2 || id === undefined || id === '' || fragmentPath === undefined) {
    return fail('AGENT_UNIT_UNKNOWN', 'systemd does not tell the name and the file of the unit');
  }
  return ok({ id, fragmentPath });
}

function parseLine(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isKubeObject(value) ? value : undefined;
  } catch {
    // What is no JSON is refused by who asked for it.
    return undefined;
  }
}
