// pino behind our Logger: JSON lines on stderr, ISO time, level as a word. Written synchronously, so that the last line
// before a crash is there.

import { destination, pino, stdTimeFunctions } from 'pino';
import { type Logger } from '../core/logger.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

const STDERR = 2;

/** A log whose level a reload may change. */
export interface LeveledLogger extends Logger {
  level: string;
}

export function createLog(level: LogLevel): LeveledLogger {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    destination({ dest: STDERR, sync: true }),
  );
}
