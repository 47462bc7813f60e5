import { ok, type Result } from '../base/result.ts';
import {
  ConnectorAdminClient,
  type ConnectorInfo,
  type ListConnectorsRequest,
  type ListConnectorsResponse,
} from '../gen/signet/connector/v1/admin.ts';
import type { UnaryCall } from './remote.ts';
import { type ServerConnection, withServer } from './server-connection.ts';
import type { CliIo, Input } from './spec.ts';
import { counted, safeJson } from './text.ts';

/** Items of one page. */
export const CONNECTOR_PAGE_SIZE = 500;

/** One call to the service of connectors; `doing` stands in front of the message of a refusal. */
export type ConnectorCall = <Res>(
  doing: string,
  call: (client: ConnectorAdminClient) => UnaryCall<Res>,
) => Promise<Result<Res>>;

/** Runs `work` with calls to the service of connectors. */
export function withConnectors(
  input: Input,
  io: CliIo,
  work: (call: ConnectorCall, server: ServerConnection) => Promise<Result<void>>,
): Promise<Result<void>> {
  return withServer(input, io, (server) => {
    const client = server.client(ConnectorAdminClient);
    return work((doing, call) => server.call(doing, call(client)), server);
  });
}

/** All items of a list, page by page. */
export async function allPages<Page extends { readonly nextPageToken: string }, Item>(
  read: (pageToken: string) => Promise<Result<Page>>,
  itemsOf: (page: Page) => readonly Item[],
): Promise<Result<readonly Item[]>> {
  const items: Item[] = [];
  for (let pageToken = ''; ; ) {
    const page = await read(pageToken);
    if (!page.ok) return page;
    items.push(...itemsOf(page.value));
    pageToken = page.value.nextPageToken;
    if (pageToken === '') return ok(items);
  }
}

/** Connectors of a group or of all, in these states or in all. */
export function listConnectors(
  call: ConnectorCall,
  filter: Pick<ListConnectorsRequest, 'group' | 'states'>,
): Promise<Result<readonly ConnectorInfo[]>> {
  return allPages(
    (pageToken) =>
      call<ListConnectorsResponse>('listing connectors', (client) => (m, o, done) => {
        const request = { ...filter, pageSize: CONNECTOR_PAGE_SIZE, pageToken };
        return client.listConnectors(request, m, o, done);
      }),
    ({ connectors }) => connectors,
  );
}

/** How a list is printed. */
export interface Listing<T> {
  readonly noun: string;
  readonly nouns: string;
  /** Key of the list for programs, where it is another word. */
  readonly key?: string;
  readonly toJson: (item: T) => unknown;
  readonly formatAll: (items: readonly T[], io: CliIo) => string;
}

/** Prints all items: JSON for programs, or how many there are and a table. */
export function printAll<T>(
  input: Input,
  io: CliIo,
  items: readonly T[],
  { noun, nouns, key = nouns, toJson, formatAll }: Listing<T>,
): void {
  printOut(input, io, { [key]: items.map((item) => toJson(item)) }, () => {
    const count = `${counted(items.length, noun, nouns)}\n`;
    return items.length === 0 ? count : `${count}\n${formatAll(items, io)}`;
  });
}

/** Prints JSON for programs or text for people. */
export function printOut(input: Input, io: CliIo, json: unknown, text: () => string): void {
  io.out(input.text('output') === 'json' ? `${safeJson(json)}\n` : text());
}
