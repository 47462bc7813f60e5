import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { TellingProcess } from '../telling-process.ts';
import { CARD_ENVIRONMENT, type CardEvent, type CardOrder } from './protocol.ts';

/** The process that is a card and its BMC. */
export class CardProcess extends TellingProcess<CardEvent, CardOrder> {
  /** Starts it; its account stands in two files. */
  constructor(card: {
    readonly serial: string;
    readonly userNamePath: string;
    readonly passwordPath: string;
  }) {
    const program = join(dirname(process.argv[1] ?? ''), 'demo-card.js');
    const child = spawn(process.execPath, ['--disable-sigusr1', program], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: {
        ...process.env,
        [CARD_ENVIRONMENT.serial]: card.serial,
        [CARD_ENVIRONMENT.userNamePath]: card.userNamePath,
        [CARD_ENVIRONMENT.passwordPath]: card.passwordPath,
      },
    });
    super('the card', child);
  }
}
