import { ok, type Result } from '../../src/base/result.ts';
import { readFileIfPresent } from '../../src/runtime/atomic-file.ts';
import { callHttp } from '../../src/runtime/http-call.ts';
import type { ConnectorConfig } from './config.ts';
import type { ConnectorWatcher } from './watcher.ts';

/** Longest page that is read, in bytes. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024;

/** Longest wait for the connector's page, in milliseconds. */
const PAGE_MS = 2000;

/** Says how many flows the connector has open; undefined where it cannot be known now. */
export type FlowSource = () => Promise<number | undefined>;

/**
 * How many flows are open, from a file or a page of the connector, else from its watcher; undefined where
 * there is none of them. Never rejects.
 */
export function createFlowSource(
  settings: ConnectorConfig['flows'],
  watcher: ConnectorWatcher | undefined,
): FlowSource | undefined {
  const { path, url, metric } = settings;
  if (path === undefined && url === undefined) {
    return watcher === undefined ? undefined : async () => watcher.current().activeFlows;
  }
  return async () => {
    const text = path === undefined ? await readPage(url ?? '') : await readText(path);
    if (!text.ok) return undefined;
    return metric === undefined ? firstNumber(text.value) : sumOfMetric(text.value, metric);
  };
}

/** The number that a text begins with. */
export function firstNumber(text: string): number | undefined {
  const match = /^\s*(\d{1,12})(?![\d.])/.exec(text);
  return match === null ? undefined : Number(match[1]);
}

/** The samples of a metric in Prometheus' text form, added up; undefined where there are none. */
export function sumOfMetric(text: string, metric: string): number | undefined {
  let sum: number | undefined;
  for (const line of text.split('\n')) {
    if (!line.startsWith(metric)) continue;
    const match = /^(?:\{.*\})?[ \t]+([0-9.eE+-]+)/.exec(line.slice(metric.length));
    const value = Number(match?.[1] ?? Number.NaN);
    if (Number.isFinite(value)) sum = (sum ?? 0) + value;
  }
  return sum === undefined ? undefined : Math.max(0, Math.round(sum));
}

async function readText(path: string): Promise<Result<string>> {
  const bytes = await readFileIfPresent(path, MAX_PAGE_BYTES);
  return bytes.ok ? ok(Buffer.from(bytes.value ?? []).toString('utf8')) : bytes;
}

async function readPage(url: string): Promise<Result<string>> {
  try {
    const answer = await callHttp(new URL(url), {
      method: 'GET',
      maxAnswerBytes: MAX_PAGE_BYTES,
      signal: AbortSignal.timeout(PAGE_MS),
    });
    return ok(answer.status === 200 ? answer.text : '');
  } catch {
    // The connector may be about to start, or to end: the number is not known then.
    return ok('');
  }
}
