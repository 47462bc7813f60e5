/** What the demo tells one of its processes to do, over the channel between them. */
export type DemoOrder =
  /** Listen for mTLS; allow this SPIFFE ID alone. */
  | { readonly order: 'serve'; readonly allow: string }
  /** Open a connection for good, call over it without end, and open fresh ones beside it. */
  | { readonly order: 'call'; readonly port: number; readonly expect: string }
  /** Fetch a JWT-SVID for an audience and send it to the server for validation. */
  | { readonly order: 'send-token'; readonly audience: string }
  /** Connect to the server without an identity. */
  | { readonly order: 'intrude'; readonly port: number }
  | { readonly order: 'report' };

/** What a process tells the demo. */
export type DemoEvent =
  /** The Workload API gave nothing; it goes on asking. */
  | { readonly event: 'waiting'; readonly code: string; readonly reason: string }
  | {
      readonly event: 'svid';
      readonly id: string;
      readonly serial: string;
      /** Key identifier of the authority that signed it, hex. */
      readonly authority: string;
      readonly lifeSeconds: number;
    }
  | { readonly event: 'listening'; readonly port: number }
  | { readonly event: 'connected'; readonly peer: string }
  | { readonly event: 'token'; readonly subject: string; readonly refusedElsewhere: boolean }
  | { readonly event: 'intruded'; readonly accepted: boolean; readonly reason: string }
  | { readonly event: 'report'; readonly calls: Calls }
  /** The agent ended the stream and what was given before may no longer be used; Unix milliseconds. */
  | {
      readonly event: 'lost';
      readonly code: string;
      readonly reason: string;
      readonly atMs: number;
    }
  | { readonly event: 'failed'; readonly reason: string };

/** How the calls of the client went since it began. */
export interface Calls {
  /** Answered on the one connection that stays open. */
  readonly answered: number;
  /** Connections opened beside it, each with the identity of its moment. */
  readonly fresh: number;
  /** Calls and connections that failed. */
  readonly failed: number;
  /** Times that the one connection had to be opened: more than 1 means that it broke. */
  readonly opened: number;
}
