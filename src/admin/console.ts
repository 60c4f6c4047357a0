// The console: one page that shows /api/v1/state and /api/v1/incidents, refreshed every second. No framework, no
// build step, nothing from elsewhere; what servers say is only ever put in as text. Served at / by routes.ts.

import { createHash } from 'node:crypto';
import { type Reply } from './route.ts';

const style = `
  :root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif; }
  body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
  h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; }
  table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
  th { font-weight: 600; opacity: .7; } tr + tr td { border-top: 1px solid #8883; }
  pre { margin: .2rem 0 .6rem 1rem; padding: .3rem .6rem; border-left: 3px solid #8886; overflow-x: auto; }
  .good { color: #1a7f37; } .bad { color: #cf222e; font-weight: 600; } .dim { opacity: .65; }
`;

const script = `
  const main = document.querySelector('main');
  const el = (tag, text, kind) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (kind) e.className = kind; return e; };
  const table = (heads, rows) => {
    const t = el('table'); const h = t.insertRow(); for (const head of heads) h.append(el('th', head));
    for (const row of rows) { const r = t.insertRow(); for (const cell of row) r.append(cell instanceof Node ? cell : el('td', cell ?? '–')); }
    return t;
  };
  const td = (text, kind) => el('td', text ?? '–', kind);
  const seconds = ms => ms === null ? '–' : (ms / 1000).toFixed(2) + ' s';
  const health = s => td(s.health, s.health === 'up' ? 'good' : 'bad');
  const admin = s => td(s.admin, s.admin === 'ready' ? 'dim' : 'bad');
  // What others say beside the servers, what is odd about it, and where the two differ.
  function orchestrator(b) {
    const notes = b.notes.map(note => el('div', note, 'bad'));
    if (b.orchestrator === null) return notes;
    const { name, says, passive } = b.orchestrator;
    const words = says === null ? name + ' is silent' : says + (passive ? ' (it doesn’t act now)' : '');
    return [el('div', 'orchestrator: ' + words, says === null ? 'bad' : 'dim'), ...notes, ...(b.disagreement === null ? [] : [el('div', b.disagreement, 'bad')])];
  }
  const sessions = s => s.circuit === null || s.circuit === 'closed' ? s.sessions : td(s.sessions + ' (circuit ' + s.circuit + ')', 'bad');
  // What is being done, what has stopped and why, who is kept out by it.
  function runbook(b) {
    if (b.runbook === null) return [];
    const { run, waits_for: waits, barred, last } = b.runbook;
    const because = reason => reason === null ? '' : ': ' + reason;
    const kept = barred.length === 0 ? [] : [el('div', 'barred by a runbook: ' + barred.join(', '), 'bad')];
    if (run !== null) {
      const step = run.step === null ? '' : ', step ' + run.step_number + ' of ' + run.of + ': ' + run.step;
      return [el('div', 'runbook ' + run.book + ' ' + run.status + step + because(run.reason), run.status === 'running' ? 'dim' : 'bad'), ...kept];
    }
    return [...(waits === null ? [] : [el('div', 'runbook waits: ' + waits, 'dim')]),
      ...(last === null || last.outcome === 'done' ? [] : [el('div', 'last runbook (' + last.book + '): ' + last.outcome + because(last.reason), 'bad')]), ...kept];
  }
  const lastCheck = s => s.last_check ? td(s.last_check.code + ' ' + s.last_check.detail, 'dim') : 'never';
  const loss = l => l === null ? '–' : td(l.words, l.bytes > 0 || l.transactions > 0 || l.kind === 'unknown' ? 'bad' : 'dim');
  const faults = b => b.servers.flatMap(s => s.faults.flatMap(f => [el('div', s.name + ': ' + f.code + ': ' + f.what, 'bad'), ...mend(f.mend)]));
  // The statements by server, in their order: each block is for one session on that server.
  function mend(steps) {
    const blocks = [];
    for (const step of steps) {
      if (blocks.at(-1)?.server !== step.server) blocks.push({ server: step.server, lines: [] });
      blocks.at(-1).lines.push(step.statement + ';');
    }
    return blocks.flatMap((block, i) => [el('div', (i + 1) + '. on ' + block.server + ':', 'dim'), el('pre', block.lines.join('\\n'))]);
  }
  function backend(b) {
    if (b.protocol === 'tcp' || b.protocol === 'http') return withoutRoles(b);
    const head = b.primary === null ? el('div', 'no primary', 'bad') : el('div', 'primary: ' + b.primary, 'good');
    return [el('h2', b.name), head, b.split_brain ? el('div', 'SPLIT BRAIN', 'bad') : '', ...b.reasons.map(r => el('div', r, 'dim')), ...orchestrator(b), ...runbook(b), ...faults(b),
      table(['server', 'address', 'health', 'role', 'writable', 'lag', 'timeline', 'admin', 'sessions', 'last check'], b.servers.map(s => [
        s.name, s.address, health(s), s.role, s.writable ? td('yes', 'good') : 'no',
        s.lag_seconds === null ? '–' : s.lag_seconds + ' s', s.timeline, admin(s), sessions(s), lastCheck(s)]))];
  }
  function withoutRoles(b) {
    const up = b.servers.filter(s => s.health === 'up').length;
    return [el('h2', b.name), el('div', up + ' of ' + b.servers.length + ' up', up > 0 ? 'good' : 'bad'), el('div', b.reasons.join('; '), 'dim'),
      table(['server', 'address', 'health', 'admin', 'sessions', 'last check'], b.servers.map(s => [s.name, s.address, health(s), admin(s), sessions(s), lastCheck(s)]))];
  }
  async function refresh() {
    try {
      const [state, { incidents }] = await Promise.all(['state', 'incidents'].map(async name => (await fetch('/api/v1/' + name)).json()));
      main.replaceChildren(...state.backends.flatMap(backend),
        el('h2', 'Frontends'), table(['frontend', 'bind', 'backend', 'route', 'sessions', 'waiting'], state.frontends.map(f =>
          [f.name, f.bind, f.backend, f.route, f.sessions, f.held > 0 ? td(f.held, 'bad') : f.held])),
        el('h2', 'Incidents'), incidents.length === 0 ? el('p', 'none since ' + state.started_at, 'dim') :
          table(['began', 'backend', 'outcome', 'first sign', 'from', 'to', 'took', 'closed', 'waited', 'loss'], incidents.map(i => [
            i.started_at, i.backend, i.outcome, i.first_sign.server + ' ' + i.first_sign.code, i.old_primary, i.new_primary,
            seconds(i.duration_ms), i.sessions_closed, i.clients_held.count + ' (longest ' + seconds(i.clients_held.max_wait_ms) + ')', loss(i.loss)])));
    } catch (error) { main.replaceChildren(el('p', 'Pointsman does not answer: ' + error, 'bad')); }
    setTimeout(refresh, 1000);
  }
  refresh();
`;

const page = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Pointsman</title>
<style>${style}</style><body><h1>Pointsman</h1><main>…</main><script>${script}</script></body></html>
`;

const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

const policy = [
  `default-src 'none'`,
  `style-src ${hash(style)}`,
  `script-src ${hash(script)}`,
  `connect-src 'self'`,
  `frame-ancestors 'none'`,
].join('; ');

export const consolePage: Reply = {
  status: 200,
  type: 'text/html; charset=utf-8',
  body: page,
  headers: { 'content-security-policy': policy },
};
