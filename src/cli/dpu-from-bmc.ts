import { fail, ok, type Result } from '../base/result.ts';
import type { DpuFacts } from '../gen/signet/dpu/v1/dpu.ts';
import { readInventoryFromBmc } from '../redfish/inventory.ts';
import { factsOfBmc } from './bmc-facts.ts';
import { askEachBmc, BMC_ACCESS_FLAGS, type BmcAnswer } from './bmc-round.ts';
import type { CliIo, FlagSpec, Input } from './spec.ts';

/** Flags of an import that asks BMCs. */
export const BMC_FLAGS: readonly FlagSpec[] = [
  {
    name: 'from-bmc',
    value: 'address',
    repeat: true,
    help: 'ask this BMC (host, host:port) in place of a file',
  },
  ...BMC_ACCESS_FLAGS,
];

/** Asks the BMCs of `--from-bmc` what cards they sit on. Fails as {@link askEachBmc} does. */
export async function askBmcs(
  input: Input,
  io: CliIo,
): Promise<Result<readonly BmcAnswer<DpuFacts>[]>> {
  const answers = await askEachBmc<DpuFacts>(
    {
      addresses: input.texts('from-bmc'),
      called: '--from-bmc',
      ask: async ({ client, origin, tlsPin }) => {
        const read = await readInventoryFromBmc(client, { signal: io.signal });
        return read.ok ? ok(factsOfBmc(read.value, { origin, tlsPin })) : read;
      },
      said: ({ serial }) => `is on ${serial}`,
    },
    input,
    io,
  );
  return answers.ok ? ok(withoutTwins(answers.value)) : answers;
}

/** Two BMCs that claim one card: which of them is on it cannot be told, so neither is taken. */
function withoutTwins(answers: readonly BmcAnswer<DpuFacts>[]): readonly BmcAnswer<DpuFacts>[] {
  const serials = answers.map(({ answer }) => (answer.ok ? answer.value.serial : undefined));
  return answers.map((one, i) => {
    const serial = serials[i];
    const twin = serials.findIndex((other, j) => i !== j && other === serial);
    if (serial === undefined || twin === -1) return one;
    const why = `${answers[twin]?.address} says that it is on ${serial} too`;
    return { ...one, answer: fail('DPU_INVALID', why) };
  });
}
