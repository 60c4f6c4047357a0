// `pointsman drain|ready|maintenance BACKEND/SERVER`: tells a running one what an operator decided about a server, and
// prints what came of it. What the states mean stands in topology and proxy.

import { type Protocol } from '../config/schema.ts';
import { hasRoles, type AdminState } from '../topology/model.ts';
import { callAdmin, readTarget, refusalIn } from './admin-client.ts';
import { type AdminOptions } from './admin-target.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { complain, out } from './output.ts';

interface Outcome {
  readonly changed: boolean;
  readonly protocol: Protocol;
  readonly primary: string | null;
  readonly reasons: readonly string[];
}

const OUTCOME = { changed: 'boolean', protocol: 'string', reasons: 'array' } as const;

export async function operate(state: AdminState, place: string, options: AdminOptions): Promise<ExitCode> {
  const [backend = '', server = ''] = place.split('/');
  const target = readTarget(options);
  if (target === null) return exitCodes.no;
  const path = `/api/v1/backends/${encodeURIComponent(backend)}/servers/${encodeURIComponent(server)}/${state}`;
  const answer = await callAdmin(target, 'POST', path, OUTCOME);
  if (!answer.ok) {
    complain(`pointsman ${state}: ${answer.why}`);
    return exitCodes.no;
  }
  if (answer.status !== 200) {
    complain(`pointsman ${state}: ${refusalIn(answer.body)}${adviceFor(answer.status)}`);
    return exitCodes.no;
  }
  const { changed, protocol, primary, reasons } = answer.body as Outcome;
  out(`${place}: ${state}${changed ? '' : ' (it was already)'}`);
  if (hasRoles(protocol)) {
    const who = primary === null ? 'no primary' : `primary ${primary}`;
    out(`${backend}: ${who}: ${reasons.join('; ')}`);
  }
  return exitCodes.done;
}

/** Where the token comes from, for who was refused. */
export function adviceFor(status: number): string {
  return status === 401
    ? ' (it is taken from POINTSMAN_TOKEN, else from admin.token of the configuration)'
    : '';
}
