import { factByPattern, type LinePatterns, withoutPrefix } from './patterns.ts';
import { CONNECTED, certificateSeconds, printable, type StatusFact } from './status-facts.ts';

/** What journald, syslog, a container runtime or the connector itself writes before each line. */
const PREFIX =
  /^(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?:[\w.-]{1,255} )?[\w.-]{1,64}\[\d{1,10}\]: |\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:?\d\d)? (?:std(?:out|err) [FP] )?)?/;

const CONNECTOR =
  /^-{2,80} (?:App )?Connector Status:ID=(\d{1,24}):Name=(.{1,255}):Ver=([\w.-]{1,64})/;
const CERTIFICATE =
  /^Certificate will expire in (\d{1,6}) days?(?:, (\d{1,2}) hours?)?(?:, (\d{1,2}) minutes?)?(?:, (\d{1,2}) seconds?)?/;
const CONTROL = /^Control connection state: (\w{1,64})/;
const SKEW = /^Time skew: ([+-]?) ?(\d{1,12}(?:\.\d{1,9})?) ?s/;
const FLOWS = /^Mtunnels: .{0,255}?Current Active = (\d{1,12})/;
const APPS = /^Registered apps count = (\d{1,9}), alive app = (\d{1,9})/;
const TARGETS = /target_count = (\d{1,9}), alive_target = (\d{1,9})/;

/**
 * Facts of a line of the log; most lines have none. A line says nothing by what stands within it.
 * Patterns of settings come before the forms that are known.
 */
export function readStatusLine(line: string, patterns?: LinePatterns): readonly StatusFact[] {
  if (patterns === undefined) return knownFacts(line.replace(PREFIX, ''), [CONNECTED]);
  const text = withoutPrefix(line, patterns) ?? line.replace(PREFIX, '');
  const fact = factByPattern(text, patterns);
  return fact === undefined ? knownFacts(text, patterns.connectedStates) : [fact];
}

function knownFacts(text: string, connectedStates: readonly string[]): readonly StatusFact[] {
  const [, id, name, version] = CONNECTOR.exec(text) ?? [];
  if (id !== undefined && name !== undefined && version !== undefined) {
    return [{ kind: 'connector', id, name: printable(name), version }];
  }
  const certificate = CERTIFICATE.exec(text);
  if (certificate !== null)
    return [{ kind: 'certificate', seconds: certificateSeconds(certificate.slice(1).map(Number)) }];
  const [, state] = CONTROL.exec(text) ?? [];
  if (state !== undefined)
    return [{ kind: 'control', connected: connectedStates.includes(state), state }];
  const [, sign, skew] = SKEW.exec(text) ?? [];
  if (skew !== undefined) {
    return [{ kind: 'skew', seconds: sign === '-' ? -Number(skew) : Number(skew) }];
  }
  const [, active] = FLOWS.exec(text) ?? [];
  if (active !== undefined) return [{ kind: 'flows', active: Number(active) }];
  return countsOf(text);
}

/** The line of counts, which documents also show broken in two. */
function countsOf(text: string): readonly StatusFact[] {
  const facts: StatusFact[] = [];
  const apps = APPS.exec(text);
  if (apps !== null) {
    facts.push({ kind: 'apps', registered: Number(apps[1]), alive: Number(apps[2]) });
  }
  const targets = apps !== null || text.startsWith('target_count') ? TARGETS.exec(text) : null;
  if (targets !== null) {
    facts.push({ kind: 'targets', registered: Number(targets[1]), alive: Number(targets[2]) });
  }
  return facts;
}
