import { ok, type Result } from '../base/result.ts';
import { makeSelector, type Selector } from '../rules/selector.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { AttestationRequest, AttestedNode, NodeAttestor } from './attestor.ts';

/** What an agent is asked, and what becomes of its answer. */
export interface Question {
  readonly bytes: Uint8Array;
  judge(answer: Uint8Array): Result<AttestedNode>;
}

/** The conversation of methods that judge a payload, ask once, and judge the answer. */
export function inOneRound(
  ask: (request: AttestationRequest) => Promise<Result<Question>>,
): NodeAttestor['attest'] {
  return async (request, challenge) => {
    const question = await ask(request);
    if (!question.ok) return question;
    const answer = await challenge(question.value.bytes);
    if (!answer.ok) return answer;
    const node = question.value.judge(answer.value);
    return node.ok ? ok({ kind: 'attested', node: node.value }) : node;
  };
}

/** What a method knows of a node that may attest again. */
export interface ProvenNode {
  readonly agentId: SpiffeId;
  readonly assurance: AttestedNode['assurance'];
  /** Values of its selectors; one that is there twice is one. */
  readonly texts: readonly string[];
}

/** Selectors of a type; a value that is there twice is one. Fails with what a selector is refused with. */
export function selectorsOf(type: string, texts: readonly string[]): Result<readonly Selector[]> {
  const selectors: Selector[] = [];
  for (const text of new Set(texts)) {
    const selector = makeSelector(type, text);
    if (!selector.ok) return selector;
    selectors.push(selector.value);
  }
  return ok(selectors);
}

/** The node, with selectors of a type. Fails with what a selector is refused with. */
export function provenNode(
  type: string,
  { agentId, assurance, texts }: ProvenNode,
): Result<AttestedNode> {
  const selectors = selectorsOf(type, texts);
  if (!selectors.ok) return selectors;
  return ok({
    agentId,
    selectors: selectors.value,
    canReattest: true,
    assurance,
    aliasDraft: undefined,
    joinTokenHash: undefined,
  });
}
