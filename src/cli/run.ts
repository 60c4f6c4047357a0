// `pointsman run`: load, start, and obey signals: SIGTERM and SIGINT drain, a second one or the deadline ends; SIGHUP reloads.
// What runs is built in app/app.ts. Called by cli.ts.

import { startApp, type App } from '../app/app.ts';
import { createLog } from '../app/log.ts';
import { version } from '../app/version.ts';
import { systemClock } from '../core/clock.ts';
import { describeError, PointsmanError } from '../core/errors.ts';
import { type Logger } from '../core/logger.ts';
import { systemRandom } from '../core/random.ts';
import { ConfigFile, readConfig } from './config-file.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';

export async function run(file: string): Promise<ExitCode> {
  process.title = 'pointsman'; // argv may name files that hold secrets
  const source = new ConfigFile(file);
  const config = readConfig(source);
  if (config === null) return exitCodes.no;
  const log = createLog(config.log.level);
  let app: App;
  try {
    app = await startApp(config, {
      clock: systemClock,
      random: systemRandom,
      log,
      version,
      node: process.version,
      source,
      environment: inherited(process.env),
    });
  } catch (thrown) {
    if (!(thrown instanceof PointsmanError) || thrown.code === 'INTERNAL') throw thrown;
    log.error({ code: thrown.code }, thrown.message);
    return exitCodes.no;
  }
  await untilTold(app, log);
  log.info({}, 'pointsman ends');
  return exitCodes.done;
}

/** Of our environment, for the programs of runbooks: all but what lets others operate us. */
function inherited(env: NodeJS.ProcessEnv): Readonly<Record<string, string>> {
  const known = Object.entries(env).filter(([name]) => name !== 'POINTSMAN_TOKEN');
  return Object.fromEntries(known.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/** Settles when a signal has been obeyed: drained, or closed at once by a second signal. */
function untilTold(app: App, log: Logger): Promise<void> {
  return new Promise((resolve, reject) => {
    let draining = false;
    const end = (signal: NodeJS.Signals): void => {
      if (draining) {
        log.warn({ signal }, 'second signal: closing every session');
        app.close().then(resolve, reject);
        return;
      }
      draining = true;
      const { drainTimeoutMs } = app.config();
      log.info({ signal, drainTimeoutMs }, 'draining: no new clients; a second signal ends at once');
      app.drain(drainTimeoutMs).then(resolve, reject);
    };
    process.on('SIGTERM', end);
    process.on('SIGINT', end);
    // What came of it, the log says.
    process.on('SIGHUP', () => void app.reload('SIGHUP'));
    const internal = (thrown: unknown): void => {
      const { code, message } = describeError(thrown);
      log.error(
        { code, stack: thrown instanceof Error ? thrown.stack : undefined },
        `internal error: ${message}`,
      );
      process.exit(exitCodes.internal);
    };
    process.on('uncaughtException', internal);
    process.on('unhandledRejection', internal);
  });
}
