// `pointsman check`: is this config valid, and with --live, does each server answer the probe as it stands there?
// Starts nothing and changes nothing. Called by cli.ts.

import { formatAddress } from '../core/address.ts';
import { consult } from '../app/orchestrators.ts';
import { createProber, type ProbedServer } from '../health/probers/create.ts';
import { type ProbeAnswer } from '../health/prober.ts';
import { hasPassed } from '../health/result.ts';
import { hasRoles } from '../topology/model.ts';
import { objectionTo } from '../topology/opinion.ts';
import { type Counsel } from '../topology/sources/counsel.ts';
import { slotNames } from '../topology/sources/slots.ts';
import { type BackendConfig, type Config } from '../config/schema.ts';
import { systemClock } from '../core/clock.ts';
import { ConfigFile, readConfig } from './config-file.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { out, table } from './output.ts';

export async function check(file: string, live: boolean): Promise<ExitCode> {
  const config = readConfig(new ConfigFile(file));
  if (config === null) return exitCodes.no;
  if (!live) {
    const { frontends, backends } = config;
    out(`${file}: valid (${count(frontends, 'frontend')}, ${count(backends, 'backend')})`);
    return exitCodes.done;
  }
  return checkLive(config);
}

const count = (things: object, noun: string): string => {
  const { length } = Object.keys(things);
  return `${length} ${noun}${length === 1 ? '' : 's'}`;
};

interface Row {
  readonly backend: string;
  readonly server: string;
  readonly target: ProbedServer;
  readonly answer: ProbeAnswer;
}

async function checkLive(config: Config): Promise<ExitCode> {
  const looks = await Promise.all(
    Object.entries(config.backends).map(async ([backend, options]) => {
      const counsel = await consult(options, config.dns, systemClock);
      const rows = membersOf(options, counsel).map(async ([server, target]): Promise<Row> => {
        const prober = createProber(options, target, systemClock)(() => undefined);
        const answer = await prober.probe();
        prober.close();
        return { backend, server, target, answer };
      });
      return { backend, options, counsel, rows: await Promise.all(rows) };
    }),
  );
  const rows = looks.flatMap(look => look.rows);
  out(
    table([
      ['BACKEND', 'SERVER', 'ADDRESS', 'RESULT', 'ROLE', 'WRITABLE', 'DETAIL'],
      ...rows.map(({ backend, server, target, answer }) => [
        backend,
        server,
        formatAddress(target.address),
        ...cells(answer),
      ]),
    ]),
  );
  const complaints = looks.flatMap(({ backend, options, counsel, rows: members }) => [
    ...counselComplaints(backend, counsel, members),
    ...(hasRoles(options.protocol)
      ? backendComplaints(
          backend,
          // Of a pair of masters both take writes, and Pointsman uses one.
          'multipleWriters' in options && options.multipleWriters === 'ordered',
          members.map(row => row.answer),
        )
      : []),
  ]);
  for (const complaint of complaints) out(complaint);
  const unanswered = rows.filter(({ answer }) => !hasPassed(answer));
  return unanswered.length + complaints.length > 0 ? exitCodes.no : exitCodes.done;
}

/** The configured servers, else those that others tell. */
function membersOf(
  { protocol, servers }: BackendConfig,
  counsel: Counsel | null,
): readonly (readonly [string, ProbedServer])[] {
  const configured = Object.entries(servers);
  const told = counsel?.members ?? [];
  const names = slotNames(protocol, told.length);
  return configured.length > 0
    ? configured
    : told.map(({ address, host = null }, index) => [names[index] ?? '', { address, host }]);
}

/** What is odd about the second signal: it is silent, warns of something, or names another than the one that takes writes. */
function counselComplaints(
  backend: string,
  counsel: Counsel | null,
  rows: readonly Row[],
): readonly string[] {
  if (counsel === null) return [];
  const { opinion, notes } = counsel;
  const writers = rows.filter(({ answer }) => {
    const facts = hasPassed(answer) ? answer.facts : null;
    return facts !== null && facts.role === 'primary' && facts.writable;
  });
  const known = ({ server, target }: Row) => ({ ...target, name: server });
  const servers = rows.map(known);
  const objections = writers.flatMap(row => {
    const objection = objectionTo(opinion, known(row), { servers, current: null });
    return objection === null ? [] : [objection];
  });
  return [...notes, ...objections].map(sentence => `${backend}: ${sentence}`);
}

function cells(answer: ProbeAnswer): readonly string[] {
  if (!hasPassed(answer) || answer.facts.role === 'unknown') return [answer.code, '-', '-', answer.detail];
  const { role, writable } = answer.facts;
  return [answer.code, role, writable ? 'yes' : 'no', answer.detail];
}

/** What the servers of one backend say together: exactly one writer, one cluster. */
function backendComplaints(
  backend: string,
  mayBeSeveral: boolean,
  answers: readonly ProbeAnswer[],
): readonly string[] {
  const facts = answers.flatMap(answer => (hasPassed(answer) ? [answer.facts] : []));
  const writers = facts.filter(({ role, writable }) => role === 'primary' && writable).length;
  const clusters = new Set(facts.flatMap(({ systemId }) => systemId ?? []));
  const complaints: string[] = [];
  if (writers === 0) complaints.push(`${backend}: no server takes writes: clients of the primary would wait`);
  if (writers > 1 && !mayBeSeveral)
    complaints.push(`${backend}: ${writers} servers take writes (split brain)`);
  if (clusters.size > 1) {
    complaints.push(
      `${backend}: the servers are of different clusters (system identifiers ${[...clusters].join(', ')})`,
    );
  }
  return complaints;
}
