import { isIPv4, isIPv6 } from 'node:net';
import type { Segment } from './wire.ts';

/** What the segments say about a flow; the segment is the one that decides. */
export interface Match {
  readonly reason: 'allowed' | 'no-segment' | 'client-not-allowed' | 'draining';
  readonly segment: Segment | undefined;
}

/** Thrown where a segment is not in the forms of the protocol: the update is answered with a Nack. */
export class SegmentUnreadable extends Error {}

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

const TRANSPORTS: ReadonlySet<string> = new Set(['PROTOCOL_TCP', 'PROTOCOL_UDP']);
const UPSTREAMS: ReadonlySet<string> = new Set(['UPSTREAM_TLS_NONE', 'UPSTREAM_TLS_SVID']);

/** Segments by the hosts they name: `=name`, `*suffix`, `4/24:0a0102`, … */
export class SegmentTable {
  readonly #byHost = new Map<string, Segment[]>();
  readonly segments: readonly Segment[];

  constructor(segments: Iterable<Segment>) {
    this.segments = [...segments];
    for (const segment of this.segments) {
      // A value of a newer server has no name here.
      if (!TRANSPORTS.has(segment.protocol) || !UPSTREAMS.has(segment.upstreamTls)) {
        throw new SegmentUnreadable(
          `${segment.id}: a transport or TLS mode that is not known here`,
        );
      }
      for (const host of new Set(segment.hosts.map(keyOfPattern))) {
        const others = this.#byHost.get(host);
        if (others === undefined) this.#byHost.set(host, [segment]);
        else others.push(segment);
      }
    }
  }

  /** The closest host decides, then the higher priority, then the narrower range of ports. */
  match(
    host: string,
    port: number,
    protocol: 'PROTOCOL_TCP' | 'PROTOCOL_UDP',
    client: string,
  ): Match {
    for (const key of keysOfHost(host)) {
      const [first] = (this.#byHost.get(key) ?? [])
        .filter((segment) => segment.protocol === protocol && portWidth(segment, port) < Infinity)
        .sort((a, b) => b.priority - a.priority || portWidth(a, port) - portWidth(b, port));
      if (first === undefined) continue;
      if (!isClientOf(first.clients, client))
        return { reason: 'client-not-allowed', segment: first };
      return { reason: first.draining ? 'draining' : 'allowed', segment: first };
    }
    return { reason: 'no-segment', segment: undefined };
  }
}

function portWidth({ ports }: Segment, port: number): number {
  const fitting = ports.filter(({ first, last }) => first <= port && port <= last);
  return Math.min(...fitting.map(({ first, last }) => last - first + 1));
}

function isClientOf(clients: readonly string[], id: string): boolean {
  return clients.some((client) => {
    if (!client.endsWith('/*')) return client === id;
    const above = client.slice(0, -1);
    return id.startsWith(above) && id.length > above.length;
  });
}

/** All keys that a flow's host may stand under, the closest first; none where it is no host. */
function* keysOfHost(text: string): Generator<string> {
  const address = readAddress(text);
  if (address !== undefined) {
    for (let length = address.width; length >= 0; length--) yield keyOfBlock(address, length);
    return;
  }
  const name = readName(text);
  if (name === undefined) return;
  yield `=${name}`;
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
    yield `*${name.slice(dot + 1)}`;
  }
}

function keyOfPattern(text: string): string {
  const [, before = '', length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = readAddress(before);
  if (address !== undefined) {
    const prefix = length === undefined ? address.width : Number(length);
    if (prefix <= address.width) return keyOfBlock(address, prefix);
  }
  const name = readName(text.startsWith('*.') ? text.slice(2) : text);
  if (name === undefined) throw new SegmentUnreadable(`no host: ${text}`);
  return text.startsWith('*.') ? `*${name}` : `=${name}`;
}

interface Address {
  readonly width: 32 | 128;
  readonly bits: bigint;
}

function keyOfBlock({ width, bits }: Address, length: number): string {
  return `${width}/${length}:${bits >> BigInt(width - length)}`;
}

/** Lower case, without the root's dot. What ends in a number is an address to some, so it is no name. */
function readName(text: string): string | undefined {
  const name = text.replace(/\.$/, '').toLowerCase();
  const labels = name.split('.');
  if (name.length > 253 || !labels.every((label) => LABEL.test(label))) return undefined;
  return /^([0-9]+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '') ? undefined : name;
}

/** IPv4 in IPv6 form (`::ffff:10.0.0.1`) is IPv4. */
function readAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { width: 32, bits: bitsOf(text.split('.'), 8n) };
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const [head = '', tail] = text.split('::');
  const front = groupsOf(head);
  const back = groupsOf(tail ?? '');
  const gap = Array<string>(8 - front.length - back.length).fill('0x0');
  const bits = bitsOf([...front, ...gap, ...back], 16n);
  return bits >> 32n === 0xffffn ? { width: 32, bits: bits & 0xffffffffn } : { width: 128, bits };
}

function groupsOf(text: string): string[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [`0x${group}`];
    const [a = '', b = '', c = '', d = ''] = group.split('.');
    return [String(Number(a) * 256 + Number(b)), String(Number(c) * 256 + Number(d))];
  });
}

function bitsOf(parts: readonly string[], each: bigint): bigint {
  return parts.reduce((bits, part) => (bits << each) | BigInt(part), 0n);
}
