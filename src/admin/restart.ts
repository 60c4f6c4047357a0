// `POST /api/v1/restart`: has this process hand everything to a successor, the same program started anew, and answers when that
// one serves, or why it doesn't and all goes on as before. Needs the token. The restart itself stands in app/restart.ts.

import { type Route } from './route.ts';
import { refuse, type Guard } from './guard.ts';
import { json } from './server.ts';

export interface RestartSource extends Guard {
  restart(
    who: string,
  ): Promise<{ readonly ok: true; readonly pid: number } | { readonly ok: false; readonly why: string }>;
}

export function restartRoute(source: RestartSource): Route {
  return {
    method: 'POST',
    path: '/api/v1/restart',
    async answer(request) {
      const refusal = refuse(source, request);
      if (refusal !== null) return refusal;
      const result = await source.restart(`API ${request.remote}`);
      if (result.ok) return json({ outcome: 'restarted', pid: result.pid });
      return json({ outcome: 'failed', error: `the running process goes on: ${result.why}` }, 409);
    },
  };
}
