import { isIP } from 'node:net';
import { fail, ok, type Result } from '../base/result.ts';
import { MAX_SOCKET_PATH_BYTES } from '../rpc/unix-path.ts';

/** Environment variable that names the Workload API (WEP-9). */
export const ENDPOINT_VARIABLE = 'SPIFFE_ENDPOINT_SOCKET';

/** Where a Workload API is. */
export type WorkloadAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/**
 * Reads the address of a Workload API (Workload Endpoint §4): `unix:///path` with an absolute path
 * and nothing else (WEP-10), or `tcp://ip:port` (WEP-11). Fails with WORKLOAD_ADDRESS_INVALID.
 */
export function parseWorkloadAddress(text: string): Result<WorkloadAddress> {
  if (text.startsWith('unix:')) return parseUnix(text.slice('unix:'.length));
  if (text.startsWith('tcp://')) return parseTcp(text.slice('tcp://'.length));
  return invalid(`"${text.slice(0, 120)}" starts with neither unix: nor tcp://`);
}

/** The address given, else the one of `SPIFFE_ENDPOINT_SOCKET` (WEP-9). */
export function findWorkloadAddress(
  explicit: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Result<WorkloadAddress> {
  const text = explicit ?? env[ENDPOINT_VARIABLE];
  if (text !== undefined && text !== '') return parseWorkloadAddress(text);
  return fail('WORKLOAD_ADDRESS_MISSING', `no address given and ${ENDPOINT_VARIABLE} is not set`);
}

/** The address as people read it: a plain path, or `tcp://ip:port`. */
export function formatWorkloadAddress(address: WorkloadAddress): string {
  if (address.kind === 'unix') return address.path;
  const host = isIP(address.host) === 6 ? `[${address.host}]` : address.host;
  return `tcp://${host}:${address.port}`;
}

function parseUnix(rest: string): Result<WorkloadAddress> {
  const path = rest.startsWith('//') ? rest.slice(2) : rest;
  if (!path.startsWith('/')) return invalid('unix: needs an absolute path and no authority');
  if (/[?#]/.test(path)) return invalid('unix: allows neither query nor fragment');
  const decoded = decodePath(path);
  if (decoded === undefined) return invalid('unix: has a malformed percent escape or a NUL');
  if (decoded === '/' || decoded.endsWith('/')) return invalid('unix: names a folder, no socket');
  if (Buffer.byteLength(decoded) > MAX_SOCKET_PATH_BYTES) {
    return invalid(`the path is longer than ${MAX_SOCKET_PATH_BYTES} bytes, the limit of Linux`);
  }
  return ok({ kind: 'unix', path: decoded });
}

function decodePath(path: string): string | undefined {
  try {
    const decoded = decodeURIComponent(path);
    return decoded.includes('\0') ? undefined : decoded;
  } catch {
    return undefined;
  }
}

function parseTcp(rest: string): Result<WorkloadAddress> {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(rest);
  if (match === null) return invalid('tcp:// needs an IP address and a port, and nothing else');
  const [, six, four, digits] = match;
  const host = six ?? four ?? '';
  const port = Number(digits);
  if (isIP(host) !== (six === undefined ? 4 : 6)) return invalid(`"${host}" is no IP address`);
  if (port < 1 || port > 65_535) return invalid(`${port} is no port`);
  return ok({ kind: 'tcp', host, port });
}

function invalid(problem: string): Result<never> {
  return fail('WORKLOAD_ADDRESS_INVALID', `address of the Workload API: ${problem}`);
}
