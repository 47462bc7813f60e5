import { readFileSync } from 'node:fs';
import { MockBmc } from '../mock-bmc/mock-bmc.ts';
import { makeSelfSigned } from '../mock-bmc/self-signed.ts';
import { SpdmDevice } from '../mock-bmc/spdm-device.ts';
import {
  ALLOWED_FIRMWARE,
  CARD_ENVIRONMENT,
  type CardEvent,
  type CardOrder,
  DEMO_TARGET,
} from './protocol.ts';

/**
 * One of the demo's processes: a DPU's root of trust and the BMC beside it, both mocks. It knows nothing
 * of Signet; the demo tells it which firmware to run.
 */
const env = process.env;
const serialNumber = env[CARD_ENVIRONMENT.serial] ?? '';
const device = new SpdmDevice(serialNumber, ALLOWED_FIRMWARE);
const tls = makeSelfSigned('bmc.demo.example');
const bmc = new MockBmc({
  tls,
  account: {
    userName: readFileSync(env[CARD_ENVIRONMENT.userNamePath] ?? '', 'utf8'),
    password: readFileSync(env[CARD_ENVIRONMENT.passwordPath] ?? '', 'utf8'),
  },
  targets: { [DEMO_TARGET]: device.target(DEMO_TARGET) },
  card: { serialNumber },
});

function tell(event: CardEvent): void {
  process.send?.(event);
}

process.on('message', ({ firmware }: CardOrder) => {
  device.reboot(firmware);
  tell({ event: 'rebooted' });
});
// The demo is gone, however it ended.
process.on('disconnect', () => process.exit(0));
// Ctrl-C is for the demo, which ends us in order.
process.on('SIGINT', () => {});
const { root, classCa } = device.identity.pins;
const origin = await bmc.listen();
tell({ event: 'ready', origin, spkiSha256: tls.spkiSha256, root, classCa });
