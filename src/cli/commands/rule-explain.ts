import { fail, ok, type Result } from '../../base/result.ts';
import { ExplainPodResponse, RuleClient } from '../../gen/signet/rule/v1/rule.ts';
import { formatExplanation } from '../rule-view.ts';
import { withServer } from '../server-connection.ts';
import type { CommandSpec } from '../spec.ts';
import { safeJson } from '../text.ts';

/** A pod by its name. */
interface PodName {
  readonly namespace: string;
  readonly name: string;
}

/** `signet rule explain`. */
export const ruleExplain: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'pod/NAMESPACE/NAME',
  flags: [
    {
      name: 'cluster',
      value: 'name',
      help: 'cluster of the pod, where the server is configured with several',
    },
  ],
  examples: [
    'signet rule explain pod/shop/web-7d4f',
    'signet rule explain pod/shop/web-7d4f --cluster rack-1 -o json',
  ],
  run: async (input, io) => {
    const pod = podArg(input.args);
    if (!pod.ok) return pod;
    const request = { cluster: input.text('cluster') ?? '', ...pod.value };
    return withServer(input, io, async (server) => {
      const client = server.client(RuleClient);
      const answer = await server.call<ExplainPodResponse>('explaining the pod', (m, o, done) =>
        client.explainPod(request, m, o, done),
      );
      if (!answer.ok) return answer;
      const json = input.text('output') === 'json';
      io.out(
        json
          ? `${safeJson({ rules: [], ...(ExplainPodResponse.toJSON(answer.value) as object) })}\n`
          : formatExplanation(answer.value),
      );
      return ok(undefined);
    });
  },
};

function podArg(args: readonly string[]): Result<PodName> {
  const [text = '', ...rest] = args;
  const parts = text.replace(/^pods?\//, '').split('/');
  const [namespace = '', name = ''] = parts;
  if (rest.length === 0 && parts.length === 2 && namespace !== '' && name !== '') {
    return ok({ namespace, name });
  }
  return fail('CLI_USAGE', 'takes one pod/NAMESPACE/NAME');
}
