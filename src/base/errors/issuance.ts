import { defineErrors } from './define.ts';

/** Refusals of the issuance section. */
export const issuanceErrors = defineErrors({
  ISSUANCE_OVERLOADED: {
    status: 'ResourceExhausted',
    retryable: true,
    means: 'More certificates are waiting to be signed than the server lets wait.',
    action: 'Add servers or cores; clients try again by themselves.',
  },
  ISSUANCE_WORKER_LOST: {
    status: 'Unavailable',
    retryable: true,
    means: 'The thread that was signing ended; another has taken its place.',
    action: 'Nothing, if it stays rare; else report it with the log lines around it.',
  },
  ISSUANCE_CLOSED: {
    status: 'Unavailable',
    retryable: true,
    means: 'The server is stopping and signs nothing more.',
    action: 'Nothing: clients go to another server or wait for the restart.',
  },
  LINT_REFUSED: {
    status: 'Internal',
    retryable: false,
    means: 'What was to be signed is not what was asked for; nothing was signed.',
    action: 'Report it with the lint that it names (docs/lints.md) and the entry in question.',
  },
  LINT_TOKEN_USED: {
    status: 'Internal',
    retryable: false,
    means: 'A lint token was presented for a second signature; nothing was signed.',
    action: 'Report it: it is a fault of the program.',
  },
  LINT_TOKEN_KEY: {
    status: 'Internal',
    retryable: false,
    means: 'A lint token was presented to another key than it was made for; nothing was signed.',
    action: 'Report it: it is a fault of the program.',
  },
  ISSUANCE_MISMATCH: {
    status: 'Internal',
    retryable: false,
    means: 'A signed SVID did not read back as what was linted; it was not released.',
    action: 'Treat it as an incident: memory, the key manager or the program is faulty.',
  },
});
