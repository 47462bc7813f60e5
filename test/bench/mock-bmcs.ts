/**
 * A fleet of mock BMCs in a process of its own, so that only the other side's CPU is counted. Told how
 * many by its argument; answers their origins over its channel, and at the end what it saw.
 */
import { MockBmc } from '../../src/main/demo/mock-bmc/mock-bmc.ts';
import { makeBootedDpu } from '../support/dice.ts';
import { MOCK_ACCOUNT, MOCK_TLS } from '../support/mock-bmc.ts';
import { deviceTarget } from '../support/mock-device.ts';
import { makeSpdmDevice } from '../support/spdm-device.ts';

const [count = '0', taskMs = '0'] = process.argv.slice(2);

// One boot for all: making a thousand would take minutes, and the reader cannot know.
const boot = makeBootedDpu();

function makeCard(serial: string): MockBmc {
  const target = (chassis: string) => {
    const device = makeSpdmDevice({ boot });
    return deviceTarget(chassis, () => device);
  };
  const mock = new MockBmc({
    tls: MOCK_TLS,
    account: MOCK_ACCOUNT,
    card: { serialNumber: serial },
    targets: {
      Bluefield_DPU_IRoT: target('Bluefield_DPU_IRoT'),
      Bluefield_ERoT: target('Bluefield_ERoT'),
    },
  });
  mock.measurements.taskMs = Number(taskMs);
  return mock;
}

const cards = Array.from({ length: Number(count) }, (_, at) => makeCard(`MT${at}`));
const origins: string[] = [];
for (const card of cards) origins.push(await card.listen());

process.on('message', () => {
  const sum = (of: (card: MockBmc) => number): number =>
    cards.reduce((total, card) => total + of(card), 0);
  const begun = sum(({ measurements }) => [...measurements.begun.values()].reduce((a, b) => a + b));
  const refused = sum(({ measurements }) => measurements.refused);
  const sessions = sum(({ sessions: open }) => open.size);
  process.send?.({ begun, refused, sessions }, () => process.exit());
});
const { deviceClass } = boot.device.classCa;
process.send?.({ origins, spkiSha256: MOCK_TLS.spkiSha256, deviceClass });
