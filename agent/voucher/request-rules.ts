import type { IncomingMessage } from 'node:http';
import { isLinkLocal } from '../../src/attestation/dpu_host/link-local.ts';
import {
  DPU_HOST_LIMITS,
  VOUCHER_HEADER,
  VOUCHER_PATH,
} from '../../src/attestation/dpu_host/payload.ts';

/** Headers of whoever passes a request on, or of a browser: the agent of the host sends none of them. */
const FOREIGN_HEADERS =
  /^(x-forwarded-.*|x-real-ip|x-original-.*|x-envoy-.*|forwarded|via|proxy-.*|origin|referer|cookie|sec-.*|expect|upgrade|transfer-encoding|trailer)$/;

/** What a request is held against. */
export interface RequestRules {
  /** What `Host` has to say. */
  readonly host: string;
  /** Whether the peer must have a link-local address. */
  readonly linkLocalPeers: boolean;
}

/** A request that breaks a rule. */
export interface Breach {
  readonly status: 400 | 403 | 404 | 405 | 411 | 413 | 415;
  readonly reason: string;
}

/**
 * What a request breaks of the rules of metadata services: it comes over the link itself, says so by a
 * header that nothing else sends, was passed on by nobody, and names this endpoint. Undefined where it
 * breaks none. The body is not looked at.
 */
export function breachOf(request: IncomingMessage, rules: RequestRules): Breach | undefined {
  const { headers, method, url, socket } = request;
  if (rules.linkLocalPeers && !isLinkLocal(socket.remoteAddress ?? '')) {
    return { status: 403, reason: `the peer ${socket.remoteAddress} is not on the link` };
  }
  const names = request.rawHeaders
    .filter((_, at) => at % 2 === 0)
    .map((name) => name.toLowerCase());
  const foreign = names.find((name) => FOREIGN_HEADERS.test(name));
  if (foreign !== undefined) return { status: 403, reason: `the header ${foreign}` };
  if (new Set(names).size !== names.length) return { status: 400, reason: 'a header twice' };
  if (headers.host?.toLowerCase() !== rules.host) {
    return { status: 403, reason: `the host "${headers.host?.slice(0, 80)}"` };
  }
  if (headers[VOUCHER_HEADER] !== '1') {
    return { status: 403, reason: `no header ${VOUCHER_HEADER}: 1` };
  }
  if (url !== VOUCHER_PATH) return { status: 404, reason: 'another path' };
  if (method !== 'POST') return { status: 405, reason: `the method ${method}` };
  if (headers['content-type'] !== 'application/json') {
    return { status: 415, reason: 'another type than application/json' };
  }
  const length = headers['content-length'] ?? '';
  if (!/^[0-9]{1,9}$/.test(length)) return { status: 411, reason: 'no length' };
  if (Number(length) > DPU_HOST_LIMITS.requestBytes) {
    return { status: 413, reason: `${length} bytes` };
  }
  return undefined;
}
