// `pointsman check`: is this config valid, and with --live, does each server answer the probe as it stands there?
// Starts nothing and changes nothing. Called by cli.ts.

import { formatAddress } from '../core/address.ts';
import { createProber } from '../health/probers/create.ts';
import { type ProbeAnswer } from '../health/prober.ts';
import { hasPassed } from '../health/result.ts';
import { hasRoles } from '../topology/model.ts';
import { type Config } from '../config/schema.ts';
import { systemClock } from '../core/clock.ts';
import { readConfig } from './config-file.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { out, table } from './output.ts';

export async function check(file: string, live: boolean): Promise<ExitCode> {
  const config = readConfig(file);
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

async function checkLive(config: Config): Promise<ExitCode> {
  const rows = await Promise.all(
    Object.entries(config.backends).flatMap(([backend, options]) =>
      Object.entries(options.servers).map(async ([server, target]) => {
        const { address } = target;
        const prober = createProber(options, target, systemClock)(() => undefined);
        const answer = await prober.probe();
        prober.close();
        return { backend, server, address: formatAddress(address), answer };
      }),
    ),
  );
  out(
    table([
      ['BACKEND', 'SERVER', 'ADDRESS', 'RESULT', 'ROLE', 'WRITABLE', 'DETAIL'],
      ...rows.map(({ backend, server, address, answer }) => [backend, server, address, ...cells(answer)]),
    ]),
  );
  const complaints = Object.entries(config.backends).flatMap(([backend, options]) =>
    hasRoles(options.protocol)
      ? backendComplaints(
          backend,
          // Of a pair of masters both take writes, and Pointsman uses one.
          'multipleWriters' in options && options.multipleWriters === 'ordered',
          rows.filter(row => row.backend === backend).map(row => row.answer),
        )
      : [],
  );
  for (const complaint of complaints) out(complaint);
  const unanswered = rows.filter(({ answer }) => !hasPassed(answer));
  return unanswered.length + complaints.length > 0 ? exitCodes.no : exitCodes.done;
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
