// The command line: yargs knows the commands, their options and their help; each command is a module beside this one, loaded
// when it is called: `status` has no use for what `run` needs, and shouldn't wait for it. Turns a command's answer, a usage error or a crash into an exit code.

import yargs, { type Argv } from 'yargs';
import { version } from '../app/version.ts';
import { describeError } from '../core/errors.ts';
import { assumptionKinds } from '../topology/assumptions.ts';
import { bookNames } from '../runbook/model.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, endureClosedPipes } from './output.ts';

const DEFAULT_CONFIG_FILE = 'pointsman.yaml';

const isPlace = (text: string): boolean => /^[^/\s]+\/[^/\s]+$/.test(text);

const configOption = {
  alias: 'c',
  type: 'string',
  default: DEFAULT_CONFIG_FILE,
  requiresArg: true,
  describe: 'The configuration file',
} as const;

/** Of commands that speak to a running one. */
const adminOptions = {
  config: configOption,
  url: {
    type: 'string',
    requiresArg: true,
    describe: 'Its admin server, such as http://127.0.0.1:9101, instead of a configuration file',
  },
  'ca-file': {
    type: 'string',
    requiresArg: true,
    describe: 'PEM file of the authorities to trust with an https address',
  },
  'cert-file': {
    type: 'string',
    requiresArg: true,
    describe: 'PEM file of a certificate to show it, with --key-file',
  },
  'key-file': { type: 'string', requiresArg: true, describe: 'PEM file of its key' },
} as const;

const placeOf = (builder: Argv) =>
  builder
    .positional('server', { type: 'string', demandOption: true, describe: 'BACKEND/SERVER' })
    .options(adminOptions)
    .check(({ server }) => isPlace(server) || 'name the server as BACKEND/SERVER, such as app/pg1');

const backendFor = (builder: Argv) =>
  builder
    .positional('backend', { type: 'string', demandOption: true, describe: 'The backend' })
    .options(adminOptions);

/** Runs one command; never rejects. */
export async function main(args: readonly string[]): Promise<ExitCode> {
  endureClosedPipes();
  let exit: ExitCode = exitCodes.done;
  const answer = async (command: () => ExitCode | Promise<ExitCode>): Promise<void> => {
    exit = await command();
  };
  const parser = yargs([...args])
    .scriptName('pointsman')
    .usage('$0 <command>\n\nA TCP proxy that always points at the primary.')
    .command(
      'run',
      'Run the proxy',
      builder =>
        builder
          .option('config', configOption)
          .example('$0 run -c /etc/pointsman/pointsman.yaml', 'SIGTERM drains, a second one ends at once'),
      argv => answer(async () => (await import('./run.ts')).run(argv.config)),
    )
    .command(
      'check',
      'Validate a configuration: every error at once, with line and column',
      builder =>
        builder
          .option('config', configOption)
          .option('live', { type: 'boolean', default: false, describe: 'Also probe each server once' })
          .example('$0 check -c pointsman.yaml', 'exit code 1 if it is invalid')
          .example('$0 check --live', 'and does every server answer?'),
      argv => answer(async () => (await import('./check.ts')).check(argv.config, argv.live)),
    )
    .command(
      'backup [name]',
      'Make the configured backups now, or prove that the newest can be restored',
      builder =>
        builder
          .positional('name', { type: 'string', describe: 'One of them; else all' })
          .option('config', configOption)
          .option('verify', {
            type: 'boolean',
            default: false,
            describe: 'Make none: restore the newest good one on its scratch server, and count',
          })
          .example('$0 backup -c /etc/pointsman/pointsman.yaml', 'exit code 1 if one fails')
          .example('$0 backup nightly --verify', 'can it be restored?'),
      argv => answer(async () => (await import('./backup.ts')).backup(argv.config, argv.name, argv.verify)),
    )
    .command(
      'restore <files>',
      'Put the newest fit backup in the place of a database, whatever is there',
      builder =>
        builder
          .positional('files', {
            type: 'string',
            demandOption: true,
            describe: 'A backup, or a pattern in quotes of which the newest fit one is taken',
          })
          .option('to', {
            type: 'string',
            demandOption: true,
            requiresArg: true,
            describe: 'postgres://user@host/database or mysql://…; passwords in PGPASSWORD or MYSQL_PWD',
          })
          .option('max-age', {
            type: 'string',
            requiresArg: true,
            describe: 'An older one is refused, such as 2h',
          })
          .option('keep-former', {
            type: 'string',
            requiresArg: true,
            describe: 'Of PostgreSQL: the name for what was there, instead of dropping it',
          })
          .option('owners', { type: 'boolean', default: true, describe: 'Owners and grants as they were' })
          .option('checksum', { type: 'boolean', default: false, describe: 'Refuse one without a checksum' })
          .option('programs', {
            type: 'string',
            requiresArg: true,
            describe: 'Where pg_restore and its like are',
          })
          .example(
            "$0 restore '/var/backups/app/*.dump' --to postgres://postgres@127.0.0.1/app",
            'its place is taken',
          ),
      argv => answer(async () => (await import('./restore.ts')).restore(argv)),
    )
    .command(
      'probe <url>',
      'Ask one server what it is: role, writable, lag, position, version',
      builder =>
        builder
          .positional('url', {
            type: 'string',
            demandOption: true,
            describe: 'postgres://user@host:port/database, or tcp://host:port',
          })
          .option('json', { type: 'boolean', default: false, describe: 'Print JSON' })
          .option('timeout', { type: 'number', default: 5, requiresArg: true, describe: 'Seconds to wait' })
          .check(({ timeout }) => timeout > 0 || 'timeout must be a number of seconds above 0')
          .example('PGPASSWORD=… $0 probe postgres://probe@10.0.0.1/app', 'exit code 1 if it does not answer')
          .example('$0 probe tcp://10.0.0.1:6379', 'does it accept connections?'),
      argv =>
        answer(async () => (await import('./probe.ts')).probe(argv.url, argv.json, argv.timeout * 1000)),
    )
    .command(
      'status',
      'What a running Pointsman sees: servers, primaries and why, frontends',
      builder =>
        builder
          .options(adminOptions)
          .option('watch', { type: 'boolean', default: false, describe: 'Again every second' })
          .option('json', { type: 'boolean', default: false, describe: 'Print JSON' })
          .example('$0 status -c /etc/pointsman/pointsman.yaml', 'exit code 1 if it does not answer')
          .example('$0 status --url http://10.0.0.5:9101 --watch', 'of another machine'),
      argv => answer(async () => (await import('./status.ts')).status(argv)),
    )
    .command(
      'explain <backend>',
      'Why a backend has the primary it has, or what would happen if …',
      builder =>
        builder
          .positional('backend', { type: 'string', demandOption: true, describe: 'The backend' })
          .options(adminOptions)
          .option('if', {
            type: 'string',
            array: true,
            default: [] as string[],
            requiresArg: true,
            describe: `SERVER=STATE, with one of ${Object.keys(assumptionKinds).join(', ')}; may be repeated`,
          })
          .option('json', { type: 'boolean', default: false, describe: 'Print JSON' })
          .example('$0 explain app', 'why is it so?')
          .example('$0 explain app --if pg1=down --if pg2=promoted', 'and then?'),
      argv =>
        answer(async () => (await import('./explain.ts')).explain(argv.backend, argv.if, argv.json, argv)),
    )
    .command(
      'sessions',
      'Who is connected through a running Pointsman, and to which server',
      builder =>
        builder
          .options(adminOptions)
          .options({
            client: { type: 'string', requiresArg: true, describe: 'Of this address or network only' },
            'server-port': {
              type: 'number',
              requiresArg: true,
              describe: 'The one that a server sees with this port (client_port of pg_stat_activity)',
            },
            frontend: { type: 'string', requiresArg: true, describe: 'Of this frontend only' },
            backend: { type: 'string', requiresArg: true, describe: 'Of this backend only' },
            server: { type: 'string', requiresArg: true, describe: 'To servers of this name only' },
            limit: { type: 'number', requiresArg: true, describe: 'How many to show at most' },
            json: { type: 'boolean', default: false, describe: 'Print JSON' },
          })
          .example('$0 sessions --server-port 45678', 'who is behind the connection that a DBA sees?')
          .example('$0 sessions --client 10.1.0.0/16', 'everybody of a network'),
      argv => answer(async () => (await import('./sessions.ts')).sessions(argv)),
    )
    .command(
      'close <session>',
      'Close one session, by the id that `sessions` shows',
      builder =>
        builder
          .positional('session', { type: 'string', demandOption: true, describe: 'Its id' })
          .options(adminOptions)
          .example('$0 close k3f9ab-12', 'needs the token'),
      argv => answer(async () => (await import('./sessions.ts')).closeSession(argv.session, argv)),
    )
    .command(
      'drain <server>',
      'No new sessions to a server; those it has go on',
      builder => placeOf(builder).example('$0 drain app/pg2', 'a running Pointsman is told; needs the token'),
      argv => answer(async () => (await import('./operate.ts')).operate('drain', argv.server, argv)),
    )
    .command(
      'maintenance <server>',
      'Close the sessions of a server, and elect it no more',
      builder =>
        placeOf(builder).example('POINTSMAN_TOKEN=… $0 maintenance app/pg1', 'or admin.token of the file'),
      argv => answer(async () => (await import('./operate.ts')).operate('maintenance', argv.server, argv)),
    )
    .command(
      'ready <server>',
      'Put a server back that was in drain or maintenance',
      builder => placeOf(builder).example('$0 ready app/pg1', 'it is elected only by evidence, as ever'),
      argv => answer(async () => (await import('./operate.ts')).operate('ready', argv.server, argv)),
    )
    .command(
      'reload',
      'Apply a changed configuration while it runs; an invalid one changes nothing',
      builder =>
        builder.options(adminOptions).example('$0 reload', 'SIGHUP does the same, and says it in the log'),
      argv => answer(async () => (await import('./reload.ts')).reload(argv)),
    )
    .command(
      'switchover <backend> [server]',
      'Make another server the primary, without an error for clients',
      builder =>
        backendFor(builder)
          .positional('server', { type: 'string', describe: 'Who is to be the primary' })
          .example('$0 switchover app pg2', 'runs the book switchover of runbooks.app; needs the token'),
      argv => {
        const to = argv.server === undefined ? '' : `?to=${encodeURIComponent(argv.server)}`;
        return answer(async () =>
          (await import('./runbook.ts')).operateRunbook(`switchover${to}`, argv.backend, argv),
        );
      },
    )
    .command(
      'failback <backend>',
      'Give the role back to the server that lost it by a runbook',
      builder => backendFor(builder).example('$0 failback app', 'what was written meanwhile goes back first'),
      argv =>
        answer(async () => (await import('./runbook.ts')).operateRunbook('failback', argv.backend, argv)),
    )
    .command(
      'runbook <action> <backend>',
      'Begin, continue or give up a runbook',
      builder =>
        backendFor(builder)
          .positional('action', {
            choices: ['plan', 'start', 'resume', 'abort'] as const,
            demandOption: true,
            describe:
              'plan: what would be done; start: on_primary_lost, without waiting; resume: the step that failed, again; abort: no more steps',
          })
          .option('book', {
            choices: bookNames,
            requiresArg: true,
            describe: 'plan: this book only',
          })
          .option('done', {
            type: 'boolean',
            default: false,
            describe: 'resume: the step in question was done by hand',
          })
          .example('$0 runbook resume app', 'after a step has failed, or Pointsman was killed amid one'),
      argv => {
        const { action, backend, book = null, config } = argv;
        if (action === 'plan')
          return answer(async () => (await import('./runbook-plan.ts')).runbookPlan(backend, book, config));
        const done = argv.action === 'resume' && argv.done ? '?done=1' : '';
        return answer(async () =>
          (await import('./runbook.ts')).operateRunbook(`runbook/${argv.action}${done}`, argv.backend, argv),
        );
      },
    )
    .command(
      'restart',
      'Replace a running one by the program and the configuration on disk; nobody is refused',
      builder =>
        builder.options(adminOptions).example('$0 restart', 'SIGUSR2 does the same, and says it in the log'),
      argv => answer(async () => (await import('./restart.ts')).restart(argv)),
    )
    .command(
      'schema',
      'Print the JSON Schema of the configuration',
      builder => builder.example('$0 schema > pointsman.schema.json', 'for your editor'),
      () => answer(async () => (await import('./schema.ts')).schema()),
    )
    .command(
      'demo',
      'Two real PostgreSQL servers, a writer, and a failover before your eyes',
      builder => builder.example('$0 demo', 'takes under a minute, leaves nothing behind'),
      () => answer(async () => (await import('./demo/demo.ts')).demo()),
    )
    .demandCommand(1, 'Name a command.')
    .strict()
    // One value for each --if: the next word is an argument of its own.
    .parserConfiguration({ 'greedy-arrays': false })
    .version(version)
    .alias('help', 'h')
    .wrap(100)
    .exitProcess(false)
    .fail((message, error, usage) => {
      if (error !== undefined && message === null) throw error;
      throw new UsageError(`${message ?? error}\n\n${usage.help()}`);
    });
  try {
    await parser.parseAsync();
    return exit;
  } catch (thrown) {
    if (thrown instanceof UsageError) {
      complain(thrown.message);
      return exitCodes.usage;
    }
    const { message } = describeError(thrown);
    complain(`pointsman: internal error: ${thrown instanceof Error ? (thrown.stack ?? message) : message}`);
    return exitCodes.internal;
  }
}

class UsageError extends Error {}
