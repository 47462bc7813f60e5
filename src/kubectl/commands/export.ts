import { fail, ok } from '../../base/result.ts';
import type { CommandSpec } from '../../cli/spec.ts';
import { withClusters } from '../clusters.ts';
import { collect } from '../collect.ts';
import { type ExportForm, exportText } from '../export-text.ts';
import { CONNECTION_FLAGS, SCOPE_FLAGS } from '../flags.ts';
import { JUDGING_FLAGS } from '../judging.ts';
import { oneDomain, trustDomainInput } from './show.ts';

const FORMS: readonly ExportForm[] = ['pem', 'spiffe', 'jwks'];

/** `kubectl signet export`. */
export const exportBundle: CommandSpec = {
  args: '[trust-domain]',
  about:
    'Prints the bundle of a trust domain, that of the reference, for what else is to trust it.',
  flags: [
    {
      name: 'format',
      value: 'form',
      choices: FORMS,
      help: 'pem: CA certificates; spiffe: the whole bundle; jwks: JWT keys; pem unless told',
    },
    ...SCOPE_FLAGS,
    ...JUDGING_FLAGS.filter(({ name }) => name !== 'trust-domain'),
    ...CONNECTION_FLAGS,
  ],
  examples: ['kubectl signet export example.org -A --format spiffe > bundle.json'],
  run: (input, io) =>
    withClusters(input, io, async (clusters) => {
      if (input.args.length > 1) return fail('CLI_USAGE', 'takes one trust domain');
      const judged = await collect(trustDomainInput(input), io, clusters);
      if (!judged.ok) return judged;
      const chosen = oneDomain(judged.value);
      if (!chosen.ok) return chosen;
      const form = FORMS.find((one) => one === input.text('format')) ?? 'pem';
      const text = exportText(chosen.value, form);
      if (!text.ok) return text;
      io.out(text.value);
      return ok(undefined);
    }),
};
