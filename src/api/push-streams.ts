import { fail, type Result } from '../base/result.ts';
import type { Ack } from '../gen/signet/agent/v1/agent.ts';

/** What an agent said it has applied. */
export interface AgentProgress {
  readonly revision: bigint;
  readonly bundleSequence: bigint;
}

/** The push streams of this server: one for each agent, and how far each agent is. In memory only. */
export interface PushStreams {
  /** Open streams. */
  readonly count: number;
  /**
   * Enters an agent's stream; the one it had before is ended, since an agent that lost its connection
   * opens another before the server notices. Answers what to call when the stream is over.
   */
  enter(agentId: string, end: (outcome: Result<void>) => void): () => void;
  /** Notes an agent's acknowledgement. */
  acked(agentId: string, ack: Ack): void;
  /** How far an agent with an open stream is; undefined when it has none or said nothing yet. */
  progress(agentId: string): AgentProgress | undefined;
}

interface OpenStream {
  readonly end: (outcome: Result<void>) => void;
  progress: AgentProgress | undefined;
}

/** No streams. */
export function createPushStreams(onCount: (count: number) => void = () => {}): PushStreams {
  const open = new Map<string, OpenStream>();
  return {
    get count() {
      return open.size;
    },
    enter(agentId, end) {
      const stream: OpenStream = { end, progress: undefined };
      const before = open.get(agentId);
      open.set(agentId, stream);
      onCount(open.size);
      before?.end(fail('SYNC_REPLACED', `agent ${agentId} opened another stream`));
      return () => {
        if (open.get(agentId) === stream) open.delete(agentId);
        onCount(open.size);
      };
    },
    acked(agentId, { revision, bundleSequence }) {
      const stream = open.get(agentId);
      if (stream !== undefined) stream.progress = { revision, bundleSequence };
    },
    progress: (agentId) => open.get(agentId)?.progress,
  };
}
