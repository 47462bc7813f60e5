import type { MockFirmware } from '../mock-bmc/spdm-device.ts';

/** What the demo tells the process that is a card and its BMC. */
export interface CardOrder {
  readonly order: 'reboot';
  readonly firmware: MockFirmware;
}

/** What that process tells the demo. */
export type CardEvent =
  | {
      readonly event: 'ready';
      /** Where its BMC listens, with the pin of its TLS key. */
      readonly origin: string;
      readonly spkiSha256: string;
      /** What a verifier pins of its certificates, as lower-case hex SHA-256. */
      readonly root: string;
      readonly classCa: string;
    }
  | { readonly event: 'rebooted' };

/** What the card's process reads from its environment: its account is in files that the demo wrote. */
export const CARD_ENVIRONMENT = {
  serial: 'SIGNET_DEMO_SERIAL',
  userNamePath: 'SIGNET_DEMO_BMC_USER',
  passwordPath: 'SIGNET_DEMO_BMC_PASSWORD',
} as const;

/** The component that signs measurements, as BMCs of BlueField name it. */
export const DEMO_TARGET = 'Bluefield_DPU_IRoT';

/** What the card runs at first, and what the manifest allows. */
export const ALLOWED_FIRMWARE: MockFirmware = {
  psc: 'PSC firmware 1.0',
  nic: 'NIC firmware 1.0',
  arm: 'Arm firmware 1.0',
};
