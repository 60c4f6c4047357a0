// What a module needs of a logger: fields first, then one sentence.
// app/log.ts makes one from pino; nothing else knows pino.

type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  /** Whether lines of that level are written: what they say need not be put together otherwise. */
  isLevelEnabled(level: 'debug' | 'info'): boolean;
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

export const silentLogger: Logger = {
  isLevelEnabled: () => false,
  debug() {},
  info() {},
  warn() {},
  error() {},
};
