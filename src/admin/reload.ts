// `POST /api/v1/reload`: has the configuration read and applied anew, and tells what came of it, every error of an invalid one
// with line and column. Needs the token. What a reload does stands in app/reload.ts.

import { type Issue } from '../config/load.ts';
import { type ReloadOutcome } from '../config/reload-plan.ts';
import { type Reply, type Route } from './route.ts';
import { refuse, type Guard } from './guard.ts';
import { json } from './server.ts';

export interface ReloadSource extends Guard {
  reload(who: string): Promise<ReloadOutcome>;
}

export function reloadRoute(source: ReloadSource): Route {
  return {
    method: 'POST',
    path: '/api/v1/reload',
    answer: async request => refuse(source, request) ?? reply(await source.reload(`API ${request.remote}`)),
  };
}

function reply(outcome: ReloadOutcome): Reply {
  const { kind, generation } = outcome;
  const about = { outcome: kind, generation, warnings: outcome.warnings.map(issueJson) };
  switch (outcome.kind) {
    case 'applied':
      return json({ ...about, changes: outcome.changes });
    case 'unchanged':
      return json({ ...about, changes: [] });
    case 'invalid': {
      const error = 'the configuration is invalid: nothing was changed';
      return json({ ...about, error, issues: outcome.issues.map(issueJson) }, 422);
    }
    case 'needs-restart': {
      const error = `nothing was changed: ${outcome.needRestart.join(', ')} needs a restart`;
      return json({ ...about, error, need_restart: outcome.needRestart }, 409);
    }
    case 'failed':
      return json({ ...about, error: `nothing was changed: ${outcome.why}` }, 409);
  }
}

const issueJson = ({ file, line, column, path, message }: Issue) => ({ file, line, column, path, message });
