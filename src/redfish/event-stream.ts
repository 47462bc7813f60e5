import type { Agent } from 'node:https';
import { request } from 'node:https';
import { type Failed, fail, ok, type Result } from '../base/result.ts';
import { isJsonObject, type JsonValue, parseJsonObject } from '../spiffe/json.ts';
import type { BmcClient } from './bmc-client.ts';
import { judgeAnswer, noAnswer } from './exchange.ts';
import { textAt } from './fields.ts';
import { parseResourcePath, type ResourcePath, resourcePath } from './resource-path.ts';
import { EventReader, MAX_EVENT_BYTES } from './server-sent-events.ts';

const EVENT_SERVICE = resourcePath('/redfish/v1/EventService');
const MAX_EVENT_DEPTH = 12;

/** Longest answer that is no stream, in bytes: a refusal. */
const MAX_REFUSAL_BYTES = 16 * 1024;

/** Silence after which the kernel asks whether the other side is there, in milliseconds. */
const KEEP_ALIVE_MS = 60_000;

/** What the BMC says has happened: who it is about is not believed, only that one should look. */
export interface BmcEvent {
  /** Such as `Base.1.15.0.ResourceChanged`; empty where there is none. */
  readonly messageId: string;
  /** Path of the resource that it is about; empty where there is none. */
  readonly origin: string;
}

/** One stream that is to be opened. */
export interface StreamRequest {
  readonly origin: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: Agent;
  readonly signal: AbortSignal;
}

/** Who listens to a stream. */
export interface StreamListener {
  /** The BMC has accepted, and sends from here on. */
  readonly onOpen: () => void;
  /** A piece of what is sent; a refusal ends the stream with it. */
  readonly onPiece: (piece: Uint8Array) => Result<void>;
}

/**
 * Opens a stream and follows it to its end: ok where the BMC ended it or the signal did. Fails as any request
 * does, and as the listener.
 */
export function followStream(
  asked: StreamRequest,
  listener: StreamListener,
): Promise<Result<void>> {
  const { origin, path, headers, agent, signal } = asked;
  const what = `GET ${path}`;
  const { promise, resolve } = Promise.withResolvers<Result<void>>();
  const call = request(new URL(origin + path), {
    method: 'GET',
    headers: { accept: 'text/event-stream', 'accept-encoding': 'identity', ...headers },
    agent,
    signal,
  });
  const broken = (cause: unknown): void =>
    resolve(signal.aborted ? ok(undefined) : noAnswer(what, cause, signal));
  // A BMC that lost its power says nothing: the kernel finds out.
  call.on('socket', (socket) => socket.setKeepAlive(true, KEEP_ALIVE_MS));
  call.on('error', broken).on('response', (answer) => {
    const { statusCode: status = 0, headers: answered } = answer;
    const parts: Buffer[] = [];
    let length = 0;
    const streams = status === 200 && /^text\/event-stream\b/.test(answered['content-type'] ?? '');
    if (streams) listener.onOpen();
    answer.on('error', broken).on('data', (piece: Buffer) => {
      length += piece.length;
      if (!streams && length <= MAX_REFUSAL_BYTES) parts.push(piece);
      const taken = streams ? listener.onPiece(piece) : ok(undefined);
      if (taken.ok && (streams || length <= MAX_REFUSAL_BYTES)) return;
      resolve(taken.ok ? notAStream(what) : taken);
      answer.destroy();
    });
    answer.on('end', () => {
      if (streams) return resolve(ok(undefined));
      const judged = judgeAnswer(what, { status, headers: answered, bytes: Buffer.concat(parts) });
      resolve(judged.ok ? notAStream(what) : judged);
    });
  });
  call.end();
  return promise;
}

/**
 * Follows the events of a BMC until it ends them or the signal does. What is no event that can be read is let
 * go; too long a line ends the stream. Fails with REDFISH_NOT_FOUND or REDFISH_ANSWER_SHAPE where the BMC has
 * no such stream, with REDFISH_ANSWER_TOO_LARGE, and as any request does.
 */
export async function followEvents(
  client: Pick<BmcClient, 'get' | 'follow' | 'origin'>,
  onEvent: (event: BmcEvent) => void,
  signal: AbortSignal,
  onOpen: () => void = () => {},
): Promise<Result<void>> {
  const place = await streamPath(client, signal);
  if (!place.ok) return place;
  const reader = new EventReader();
  const onPiece = (piece: Uint8Array): Result<void> => {
    const read = reader.read(piece);
    if (!read.ok) return read;
    for (const event of read.value.flatMap(parseEvents)) onEvent(event);
    return ok(undefined);
  };
  return client.follow(place.value, { onOpen, onPiece }, signal);
}

async function streamPath(
  client: Pick<BmcClient, 'get' | 'origin'>,
  signal: AbortSignal,
): Promise<Result<ResourcePath>> {
  const service = await client.get(EVENT_SERVICE, { signal });
  if (!service.ok) return service;
  const text = textAt(service.value, 'ServerSentEventUri');
  if (text === undefined || service.value.get('ServiceEnabled') === false) {
    return fail('REDFISH_NOT_FOUND', 'the event service of the BMC has no stream');
  }
  return parseResourcePath(text, client.origin);
}

/** The events in the data of one; none where it is not what Redfish has (DSP0266 §13). */
export function parseEvents(data: Uint8Array): readonly BmcEvent[] {
  const json = parseJsonObject(data, { maxBytes: MAX_EVENT_BYTES, maxDepth: MAX_EVENT_DEPTH });
  if (!json.ok) return [];
  const events = json.value.get('Events');
  const list: readonly JsonValue[] = Array.isArray(events) ? events : [];
  return list.filter(isJsonObject).map((event) => ({
    messageId: textAt(event, 'MessageId') ?? '',
    origin:
      textAt(event, 'OriginOfCondition', '@odata.id') ?? textAt(event, 'OriginOfCondition') ?? '',
  }));
}

function notAStream(what: string): Failed {
  return fail('REDFISH_ANSWER_SHAPE', `${what}: is no stream of events`);
}
