// System 001 on real servers: the active machine (a database, an application), and a cold standby whose data directory holds
// seeds and on which nothing runs. The configuration is examples/cold-standby.yaml; `systemctl`, `pointsman` and `pg_dump` of its
// steps are a script here, which can kill the Pointsman that called it, before or after its work. For tests.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { parse, stringify } from 'yaml';
import { freePort } from '../../src/cli/demo/free-port.ts';
import { debianBinaries } from '../../src/cli/demo/postgres-binaries.ts';
import { PostgresNode } from '../../src/cli/demo/postgres-node.ts';
import { MAIN, pointsman } from './pointsman.ts';
import { readRepositoryFile } from './repository.ts';
import { until } from './wait.ts';

const APP = fileURLToPath(new URL('./coffee-app.js', import.meta.url));
const PASSWORD = 'coffee-secret';
export const TOKEN = 'a-token-of-sixteen-or-more';

/** The steps of the runbook that change something. */
const stepsThatDo = [
  ...(['start-database', 'restore', 'start-app'] as const),
  ...(['dump-standby', 'copy-back', 'stop-app', 'stop-database'] as const),
] as const;
type Step = (typeof stepsThatDo)[number];

interface Ports {
  /** Of the applications. */
  readonly vcl2: number;
  readonly vcl3: number;
  /** Of Pointsman: the same after each restart. */
  readonly web: number;
  readonly db: number;
}

export class System001 {
  readonly directory = mkdtempSync(join(tmpdir(), 'pointsman-001-'));
  readonly backups = join(this.directory, 'backups');
  readonly active: PostgresNode;
  readonly standby: PostgresNode;
  readonly config: object;
  readonly #ports: Ports;
  #app: ChildProcess | null = null;

  private constructor(active: PostgresNode, standby: PostgresNode, ports: Ports) {
    this.active = active;
    this.standby = standby;
    this.#ports = ports;
    mkdirSync(this.backups);
    this.#writeScript();
    this.config = this.#configuration();
  }

  /** The active one runs; the standby has been seeded, as its migrations do it, and stopped. */
  static async start(): Promise<System001> {
    const binaries = debianBinaries(15);
    const create = (name: string) => PostgresNode.create({ name, binaries, password: PASSWORD });
    const [active, standby] = await Promise.all([create('vcl2'), create('vcl3')]);
    const ports = {
      vcl2: await freePort(),
      vcl3: await freePort(),
      web: await freePort(),
      db: await freePort(),
    };
    const system = new System001(active, standby, ports);
    for (const node of [standby, active]) {
      await node.start();
      await node.query('create database coffee');
      await system.ask(node, 'create table coffee (id serial primary key, name text)');
    }
    await system.ask(standby, "insert into coffee (name) select 'seed ' || n from generate_series(1, 5) n");
    await standby.stop();
    system.startApp();
    return system;
  }

  get web(): string {
    return `http://127.0.0.1:${this.#ports.web}`;
  }

  startApp(): void {
    const { vcl2, db } = this.#ports;
    this.#app = spawn(process.execPath, [APP, `${vcl2}`, `${db}`, PASSWORD], { stdio: 'ignore' });
  }

  /** The machine is gone: database and application at once. */
  async killActive(): Promise<void> {
    await this.active.killAll();
    await this.#killApp();
  }

  async returnActive(): Promise<void> {
    await this.active.start();
    this.startApp();
  }

  async ask(
    node: PostgresNode,
    text: string,
    database = 'coffee',
  ): Promise<readonly Record<string, unknown>[]> {
    const client = new Client({
      host: '127.0.0.1',
      port: node.port,
      user: 'postgres',
      password: PASSWORD,
      database,
    });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  }

  async namesAt(node: PostgresNode, database = 'coffee'): Promise<readonly string[]> {
    return (await this.ask(node, 'select name from coffee order by id', database)).map(({ name }) =>
      String(name),
    );
  }

  /** Through Pointsman, as a user. */
  async drink(name: string): Promise<void> {
    const response = await fetch(`${this.web}/coffees?name=${encodeURIComponent(name)}`, {
      method: 'POST',
      headers: { connection: 'close' },
    });
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  }

  async menu(): Promise<readonly string[]> {
    const response = await fetch(`${this.web}/coffees`, { headers: { connection: 'close' } });
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    return (await response.json()) as string[];
  }

  isStandbyRunning(): boolean {
    return existsSync(join(this.standby.dataDirectory, 'postmaster.pid'));
  }

  /** The next time this step is run, Pointsman is killed: before its work, which is then not done, or after it. */
  killPointsmanAt(step: Step, when: 'before' | 'after'): void {
    writeFileSync(this.#killFile(step, when), '');
  }

  killsLeft(): readonly Step[] {
    return stepsThatDo.filter(step =>
      (['before', 'after'] as const).some(when => existsSync(this.#killFile(step, when))),
    );
  }

  #killFile(step: Step, when: 'before' | 'after'): string {
    return join(this.directory, `kill-${when}-${step}`);
  }

  async dispose(): Promise<void> {
    await this.#killApp();
    // Else the script would kill who calls it now, the test.
    for (const step of stepsThatDo) {
      for (const when of ['before', 'after'] as const) rmSync(this.#killFile(step, when), { force: true });
    }
    for (const step of ['stop-app', 'stop-database']) {
      const child = spawn(join(this.directory, 'do'), [step], { stdio: 'ignore' });
      await once(child, 'close');
    }
    await Promise.all([this.active.dispose(), this.standby.dispose()]);
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #killApp(): Promise<void> {
    const app = this.#app;
    this.#app = null;
    if (app === null || app.exitCode !== null) return;
    const ended = once(app, 'exit');
    app.kill('SIGKILL');
    await ended;
  }

  /** What runs on as a service starts with an environment of its own, as under systemd: a step isn't its owner. */
  #writeScript(): void {
    const { binaries, dataDirectory, directory: home } = this.standby;
    const { bin, owner } = binaries;
    const as = owner === null ? '' : `setpriv --reuid=${owner.uid} --regid=${owner.gid} --clear-groups `;
    const pgCtl = `env -i PATH="$PATH" LC_ALL=C ${as}${bin}/pg_ctl -D ${dataDirectory}`;
    const app = join(this.directory, 'app.pid');
    const { vcl3, db } = this.#ports;
    const script = `#!/bin/sh
step=$1
shift
if [ -e "${this.directory}/kill-before-$step" ]; then
  rm "${this.directory}/kill-before-$step"
  kill -9 $PPID
  exit 0
fi
cd /
case $step in
  start-database) ${pgCtl} status >/dev/null || ${pgCtl} -w -l ${home}/started.log start >/dev/null ;;
  stop-database) ${pgCtl} -m fast -w stop >/dev/null || ! ${pgCtl} status >/dev/null ;;
  start-app)
    if ! kill -0 "$(cat ${app} 2>/dev/null)" 2>/dev/null; then
      env -i PATH="$PATH" setsid ${process.execPath} ${APP} ${vcl3} ${db} ${PASSWORD} </dev/null >/dev/null 2>&1 &
      echo $! >${app}
    fi ;;
  stop-app) kill "$(cat ${app} 2>/dev/null)" 2>/dev/null; rm -f ${app} ;;
  *) "$@" ;;
esac
code=$?
if [ -e "${this.directory}/kill-after-$step" ]; then
  rm "${this.directory}/kill-after-$step"
  kill -9 $PPID
fi
exit $code
`;
    writeFileSync(join(this.directory, 'do'), script, { mode: 0o755 });
  }

  /** The example, with the addresses and programs of this test and in its tempo. */
  #configuration(): object {
    const { vcl2, vcl3, web, db } = this.#ports;
    const script = join(this.directory, 'do');
    const through = (step: string, command: string): string => `[${script}, ${step}, ${command}]`;
    const text = readRepositoryFile('examples/cold-standby.yaml')
      .replaceAll('${POINTSMAN_TOKEN}', TOKEN)
      .replaceAll('${POSTGRES_PASSWORD}', PASSWORD)
      .replace('user: probe', 'user: postgres')
      .replace('${PROBE_PASSWORD}', PASSWORD)
      .replace('127.0.0.1:9101', '127.0.0.1:0')
      .replace('0.0.0.0:80\n', `127.0.0.1:${web}\n`)
      .replace('0.0.0.0:6432', `127.0.0.1:${db}`)
      .replaceAll('10.0.0.2:3000', `127.0.0.1:${vcl2}`)
      .replaceAll('10.0.0.3:3000', `127.0.0.1:${vcl3}`)
      .replaceAll('10.0.0.2:5432', `127.0.0.1:${this.active.port}`)
      .replaceAll('10.0.0.3:5432', `127.0.0.1:${this.standby.port}`)
      .replaceAll('/var/lib/pointsman', this.directory)
      .replaceAll('fall: 3', 'interval: 300ms, fall: 3')
      .replace('lost_for: 3s', 'lost_for: 300ms\n    min_interval: 0\n    max_per_day: 100')
      .replaceAll(/\[systemctl, (start|stop), postgresql\]/g, `[${script}, $1-database]`)
      .replaceAll(/\[systemctl, (start|stop), coffee-app\]/g, `[${script}, $1-app]`)
      .replace(
        '[pointsman, restore,',
        through('restore', `${process.execPath}, ${MAIN}, restore`).replace(/\]$/, ','),
      )
      .replace(
        '          - pg_dump\n',
        `          - ${script}\n          - dump-standby\n          - pg_dump\n`,
      )
      .replace(
        '          - pointsman\n',
        ['', script, 'copy-back', process.execPath, MAIN].join('\n          - ').slice(1) + '\n',
      );
    return parse(text) as object;
  }

  /** The paths of the backups, oldest first, when there are as many. */
  backupsMade(count: number): Promise<readonly string[]> {
    return until(`${count} backups`, () => {
      const dumps = readdirSync(this.backups).filter(name => name.endsWith('.dump'));
      return dumps.length >= count && dumps.toSorted().map(name => join(this.backups, name));
    });
  }

  /** Another one, by the command; its path. */
  async backupNow(): Promise<string> {
    const before = (await this.backupsMade(1)).length;
    const file = join(this.directory, 'pointsman.yaml');
    writeFileSync(file, stringify(this.config));
    const { code, stdout, stderr } = await pointsman(['backup', '-c', file]);
    if (code !== 0) throw new Error(stdout + stderr);
    return (await this.backupsMade(before + 1)).at(-1) ?? '';
  }

  /** As a disk would do it: the file is as long as before. */
  corrupt(path: string): void {
    const content = readFileSync(path);
    content.fill(0, content.length - 64, content.length - 32);
    writeFileSync(path, content);
  }
}
