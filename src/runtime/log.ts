import { type Logger as PinoLogger, pino } from 'pino';

/** Structured log: JSON lines, fields named in camelCase, no secrets. */
export type Logger = PinoLogger;

/** Levels that configuration accepts. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

/** A log level. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A logger that writes to a file descriptor (2 is stderr). */
export function createLogger(options: { level: LogLevel; fd?: number }): Logger {
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: ['token', 'joinToken', '*.token', '*.joinToken', 'privateKey', '*.privateKey'],
      },
    },
    pino.destination({ fd: options.fd ?? 2, sync: true }),
  );
}
