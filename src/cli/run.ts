// `pointsman run`: load, start, and obey signals: SIGTERM and SIGINT drain, a second one or the deadline ends; SIGHUP reloads,
// SIGUSR2 restarts: a successor takes over, this process ends with its last session. Tells systemd about it.
// What runs is built in app/app.ts. Called by cli.ts.

import { startApp, type App, type Birth } from '../app/app.ts';
import { InheritedSockets } from '../app/inherited.ts';
import { createLog } from '../app/log.ts';
import { findPredecessor } from '../app/predecessor.ts';
import { createNotifier, type Notifier } from '../app/sd-notify.ts';
import { version } from '../app/version.ts';
import { formatIssue } from '../config/load.ts';
import { systemClock } from '../core/clock.ts';
import { describeError, PointsmanError } from '../core/errors.ts';
import { type Logger } from '../core/logger.ts';
import { systemRandom } from '../core/random.ts';
import { type Waiting } from '../proxy/driver.ts';
import { ConfigFile, readConfig } from './config-file.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';

export async function run(file: string): Promise<ExitCode> {
  process.title = 'pointsman'; // argv may name files that hold secrets
  const predecessor = findPredecessor();
  const birth: Birth = {
    predecessor,
    inherited: InheritedSockets.read(process.env, process),
    impediment: process.pid === 1 ? 'process 1 of a container cannot be replaced by another' : null,
  };
  const source = new ConfigFile(file);
  const config = readConfig(source);
  if (config === null) {
    const again = source.load();
    const [issue] = again.ok ? [] : again.issues;
    await predecessor?.failed(
      `its configuration is invalid: ${issue === undefined ? file : formatIssue(issue)}`,
    );
    return exitCodes.no;
  }
  const log = createLog(config.log.level);
  const { env, pid } = process;
  const clock = systemClock;
  const notifier = await createNotifier({ env, pid, isSuccessor: predecessor !== null, clock, log });
  let app: App;
  try {
    app = await startApp(config, {
      clock,
      random: systemRandom,
      log,
      version,
      node: process.version,
      source,
      environment: environmentOf(process.env),
      birth,
    });
  } catch (thrown) {
    if (!(thrown instanceof PointsmanError) || thrown.code === 'INTERNAL') throw thrown;
    log.error({ code: thrown.code }, thrown.message);
    await predecessor?.failed(thrown.message);
    return exitCodes.no;
  }
  const ended = untilTold(app, birth, notifier, log);
  // systemd listens to it from the moment on in which the one before has named it.
  await predecessor?.ready();
  notifier.ready(statusOf(app));
  notifier.watch(() => app.isAlive());
  await ended;
  notifier.end();
  log.info({}, 'pointsman ends');
  return exitCodes.done;
}

/** Of our environment, for the programs of runbooks: all but what lets others operate us. */
function environmentOf(env: NodeJS.ProcessEnv): Readonly<Record<string, string>> {
  const known = Object.entries(env).filter(([name]) => name !== 'POINTSMAN_TOKEN');
  return Object.fromEntries(known.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

const statusOf = ({ frontends }: App): string => `serving ${[...frontends.keys()].join(', ')}`;

/** Settles when a signal has been obeyed: drained, or closed at once by a second signal; or a successor has taken over. */
function untilTold(app: App, { inherited }: Birth, notifier: Notifier, log: Logger): Promise<void> {
  return new Promise((resolve, reject) => {
    let state: 'runs' | 'succeeded' | 'drains' = 'runs';
    const drain = (waiting: Waiting): void => {
      app.drain(app.config().drainTimeoutMs, waiting).then(resolve, reject);
    };
    const end = (signal: NodeJS.Signals): void => {
      const { drainTimeoutMs } = app.config();
      switch (state) {
        case 'drains':
          log.warn({ signal }, 'second signal: closing every session');
          app.close().then(resolve, reject);
          return;
        case 'succeeded':
          state = 'drains';
          log.info(
            { signal },
            'draining already, since another process took over; a second signal ends at once',
          );
          return;
        case 'runs':
          state = 'drains';
          log.info({ signal, drainTimeoutMs }, 'draining: no new clients; a second signal ends at once');
          notifier.stopping(drainTimeoutMs);
          // Behind systemd's sockets newcomers wait for the next start: nobody need be refused.
          drain(inherited.areKept ? 'serve' : 'refuse');
      }
    };
    app.succeeded.subscribe(pid => {
      state = 'succeeded';
      notifier.succeeded(pid);
      drain('serve');
    });
    process.on('SIGTERM', end);
    process.on('SIGINT', end);
    // What came of them, the log says.
    process.on('SIGUSR2', () => void app.restart('SIGUSR2'));
    process.on('SIGHUP', () => {
      notifier.reloading();
      void app.reload('SIGHUP').then(() => {
        if (state === 'runs') notifier.ready(statusOf(app));
      });
    });
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
