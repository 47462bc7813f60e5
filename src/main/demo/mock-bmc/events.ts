import type { ServerResponse } from 'node:http';
import { link, type MockResource } from './card.ts';

const SERVICE = '/redfish/v1/EventService';

/** Where a mock BMC streams its events. */
export const SSE_PATH: string = `${SERVICE}/SSE`;

/**
 * The event service of a mock BMC: server-sent events to whoever follows them, and whatever else somebody
 * writes into their streams.
 */
export class MockEvents {
  readonly #followers = new Set<ServerResponse>();
  /** Whether the BMC has an event service at all. */
  present = true;

  /** Streams that are open. */
  get followers(): number {
    return this.#followers.size;
  }

  /** The resource that says where the stream is. */
  get(path: string): MockResource | undefined {
    if (path !== SERVICE || !this.present) return undefined;
    return {
      ...link(SERVICE),
      '@odata.type': '#EventService.v1_9_0.EventService',
      Id: 'EventService',
      ServerSentEventUri: SSE_PATH,
      ServiceEnabled: true,
    };
  }

  /** Opens a stream, where the path is the one. */
  follow(path: string, answer: ServerResponse): boolean {
    if (path !== SSE_PATH || !this.present) return false;
    answer.writeHead(200, { 'content-type': 'text/event-stream' });
    answer.write(': a mock is listening\n\n');
    this.#followers.add(answer);
    answer.on('close', () => this.#followers.delete(answer));
    return true;
  }

  /** Tells that something happened. */
  tell(messageId: string, origin = '/redfish/v1/Systems/Bluefield'): void {
    const event = { MessageId: messageId, OriginOfCondition: link(origin) };
    this.raw(`id: 1\ndata: ${JSON.stringify({ Events: [event], Id: '1' })}\n\n`);
  }

  /** Writes anything. */
  raw(text: string): void {
    for (const answer of this.#followers) answer.write(text);
  }

  /** Breaks every stream off. */
  drop(): void {
    for (const answer of this.#followers) answer.destroy();
  }
}
