// Known-bad changes of the production code, at least one for each safety rule: what the simulation must catch. Data only.
// Applied to the compiled files as they are loaded (mutant-hooks.ts), so that nothing in src knows of them. A text that is
// not found exactly once in its file fails the run: who changes that line changes the mutant too.
// Imports nothing at run time, since what it leads to would be loaded before the mutant is in place.

import { type Rule } from './rules.ts';

interface Edit {
  /** Compiled file under dist/src. */
  readonly file: string;
  readonly text: string;
  readonly replacement: string;
}

interface Mutant {
  readonly rule: Rule;
  /** A seed that shows the harm soon; left out: the first does. */
  readonly seed?: number;
  /** What a careless change would have been, and how it hurts. */
  readonly why: string;
  readonly edits: readonly Edit[];
}

export const mutants: Readonly<Record<string, Mutant>> = {
  'last-answer-will-do': {
    rule: 1,
    seed: 7,
    why: 'a server is judged by its last good answer, not by its newest result: a primary in doubt gets new writers',
    edits: [
      {
        file: 'topology/eligibility.js',
        text: `    const facts = factsOf(server.result);
    return facts !== null && facts.role === 'primary' && facts.writable;`,
        replacement: `    const facts = factsOf(server.lastAnswer);
    return facts !== null && facts.role === 'primary' && facts.writable;`,
      },
    ],
  },
  'any-age-will-do': {
    rule: 1,
    seed: 63,
    why: 'the freshness bound is forgotten: after a stall of the process writers go by an old answer',
    edits: [
      {
        file: 'topology/eligibility.js',
        text: 'isFresh(result, now, view.freshnessMs)',
        replacement: 'result !== null',
      },
    ],
  },
  'drain-is-forgotten': {
    rule: 1,
    why: 'a server that an operator takes out goes on getting new sessions',
    edits: [{ file: 'topology/eligibility.js', text: `admin === 'ready' && health`, replacement: 'health' }],
  },
  'old-sessions-stay': {
    rule: 2,
    seed: 7,
    why: 'a demotion closes nothing, and nobody looks for sessions elsewhere: writers on two servers at once',
    edits: [
      {
        file: 'topology/closings.js',
        text: 'return name === before.primary ? demotion : misled;',
        replacement: 'return [];',
      },
      {
        file: 'proxy/registry.js',
        text: 'if (name !== server)',
        replacement: 'if (false)',
      },
    ],
  },
  'only-writers-leave': {
    rule: 3,
    seed: 19,
    why: 'a demotion closes the sessions of primary frontends only: an `any` port goes on writing to the old primary',
    edits: [
      {
        file: 'topology/closings.js',
        text: `const demotion = [{ reason: 'demotion', routes: null }];`,
        replacement: `const demotion = [{ reason: 'demotion', routes: ['primary'] }];`,
      },
    ],
  },
  'former-members-are-forgotten': {
    rule: 4,
    seed: 66,
    why: 'sessions to a server that left the members are looked after by nobody',
    edits: [
      {
        file: 'proxy/failover.js',
        text: `close(name, 'server-left', registry.closeAll(view.name, name, 'server-left'));`,
        replacement: '',
      },
    ],
  },
  'sessions-of-before-are-forgotten': {
    rule: 4,
    seed: 5,
    why: 'after a reload the sessions of before are supervised by nobody: a demotion leaves them to the old primary',
    edits: [
      {
        file: 'proxy/connection.js',
        text: '    rehost(host) {\n',
        replacement: '    rehost(host) {\n        this.isOld = true;\n',
      },
      {
        file: 'proxy/registry.js',
        text: 'session.evict(reason)',
        replacement: '!session.isOld && session.evict(reason)',
      },
    ],
  },
  'a-replica-will-do': {
    rule: 5,
    why: 'when the primary is lost, whoever is left and answers is taken for it',
    edits: [
      {
        file: 'topology/elect.js',
        text: `const claims = facts !== null && facts.role === 'primary' && facts.writable;`,
        replacement: 'const claims = facts !== null;',
      },
    ],
  },
  'out-of-sight-is-dead': {
    rule: 5,
    why: 'one missed probe gives the primary up',
    edits: [
      {
        file: 'topology/elect.js',
        text: `if (standing(present, refused) === 'doubtful') {`,
        replacement: 'if (false) {',
      },
    ],
  },
  'old-timelines-are-welcome': {
    rule: 6,
    seed: 7,
    why: 'a returned server on an old timeline may become the primary again',
    edits: [
      {
        file: 'topology/evidence/postgres.js',
        text: 'facts.timeline !== null && facts.timeline < memory.timeline',
        replacement: 'false',
      },
    ],
  },
  'another-cluster-is-welcome': {
    rule: 6,
    seed: 81,
    why: 'a server with the data of another cluster is followed',
    edits: [
      {
        file: 'topology/evidence/postgres.js',
        text: 'if (memory !== null && facts.systemId !== null && facts.systemId !== memory.systemId) {',
        replacement: 'if (false) {',
      },
    ],
  },
  'first-come-first-elected': {
    rule: 6,
    why: 'at the start the first server that claims to be writable is followed, before the others were heard',
    edits: [{ file: 'topology/elect.js', text: 'if (unheard.length > 0)', replacement: 'if (false)' }],
  },
  'the-orchestrator-is-ignored': {
    rule: 6,
    seed: 19,
    why: 'the word of the orchestrator is not weighed against that of a server',
    edits: [
      {
        file: 'topology/opinion.js',
        text: 'if (opinion === null || opinion.passive)\n',
        replacement: 'if (true)\n',
      },
    ],
  },
  'busy-is-dead': {
    rule: 7,
    seed: 7,
    why: '“too many connections” and “starting up” count as failed probes',
    edits: [{ file: 'health/state.js', text: `if (outcome === 'inconclusive')`, replacement: 'if (false)' }],
  },
  'first-in-the-file-wins': {
    rule: 8,
    seed: 61,
    why: 'among servers that nothing tells apart the first in the file is taken, not the present primary',
    edits: [
      {
        file: 'topology/elect.js',
        text: 'return evidence.best(eligible, ballot) ?? stay ?? hold;',
        replacement: 'return evidence.best(eligible, ballot) ?? only(eligible[0]);',
      },
    ],
  },
  'the-present-one-is-always-right': {
    rule: 9,
    seed: 7,
    why: 'a newer timeline is no evidence: writes go on to a primary that is known to have been succeeded',
    edits: [
      {
        file: 'topology/evidence/postgres.js',
        text: 'if (holder === undefined || holders.length !== 1)',
        replacement: 'if (true)',
      },
    ],
  },
  'losses-are-kept-quiet': {
    rule: 9,
    seed: 7,
    why: 'the loss report says that nothing of what was seen is missing',
    edits: [
      {
        file: 'topology/loss/postgres.js',
        text: 'bytes: Number(seen > end ? seen - end : 0n),',
        replacement: 'bytes: 0,',
      },
    ],
  },
  'nobody-is-released': {
    rule: 'live',
    why: 'a new primary is told to nobody who waits, and newcomers go behind them',
    edits: [
      {
        file: 'proxy/hold.js',
        text: '        this.#burst = burst ?? this.#usualBurst;\n',
        replacement: '        if (now > 4000) return [];\n        this.#burst = burst ?? this.#usualBurst;\n',
      },
    ],
  },
  'a-timer-is-left-behind': {
    rule: 'leak',
    why: 'a monitor that is stopped forgets its timer',
    edits: [
      {
        file: 'health/monitor.js',
        text: `        this.#phase = 'stopped';
        this.#timer?.cancel();`,
        replacement: `        this.#phase = 'stopped';`,
      },
    ],
  },
  'a-restart-forgets-the-primary': {
    rule: 8,
    why: 'after a restart whoever claims first is followed, not the primary of before',
    edits: [
      {
        file: 'topology/resumption.js',
        text: 'this.#isAwaited = isOurs && saved.primary !== null && mayCome;',
        replacement: 'this.#isAwaited = false;',
      },
    ],
  },
  'a-restart-forgets-the-history': {
    rule: 6,
    seed: 8,
    why: 'the memory is not taken up: after a restart a server on an old timeline may be followed',
    edits: [
      {
        file: 'topology/resumption.js',
        text: 'isOurs && saved.memory !== null',
        replacement: 'false',
      },
    ],
  },
  'a-restart-begins-a-new-count': {
    rule: 'epoch',
    why: 'the epoch starts again at 0: who keeps the greater takes the new primary for the old one',
    edits: [
      { file: 'topology/resumption.js', text: 'return this.#saved?.epoch ?? 0;', replacement: 'return 0;' },
    ],
  },
  'a-restart-forgets-decisions': {
    rule: 1,
    seed: 367,
    why: 'a server that an operator has taken out is given to clients again after a restart',
    edits: [
      {
        file: 'topology/resumption.js',
        text: 'const admin = this.#decisions.get(key);',
        replacement: 'const admin = undefined;',
      },
    ],
  },
  'the-saved-primary-needs-no-word': {
    rule: 1,
    seed: 40,
    why: 'what the state file says is taken for what the server says: writers go there before it has spoken',
    edits: [
      {
        file: 'topology/eligibility.js',
        text: `    if (server.name !== view.primary || view.held !== null || !isAnswering(server, view, now))
        return false;`,
        replacement: `    if (server.name === view.primary && server.result === null) return true;
    if (server.name !== view.primary || view.held !== null || !isAnswering(server, view, now))
        return false;`,
      },
    ],
  },
  'a-change-is-not-saved': {
    rule: 8,
    seed: 332,
    why: 'what is saved still names the primary of before: a restart goes back to it',
    edits: [
      {
        file: 'topology/resumption.js',
        text: 'primary: primary ?? awaited,',
        replacement: 'primary: this.#saved?.primary ?? primary ?? awaited,',
      },
    ],
  },
  'a-restarted-redis-is-believed': {
    rule: 6,
    seed: 38,
    why: 'a Redis primary that was restarted, with nothing or with an old state, is followed at once',
    edits: [
      {
        file: 'topology/evidence/redis.js',
        text: `if (standing === 'same' || standing === 'promoted')`,
        replacement: 'if (true)',
      },
    ],
  },
  'a-redis-that-waits-long-enough-is-right': {
    rule: 6,
    seed: 114,
    why: 'a Redis that was restarted with less is followed after a while, though a replica has more',
    edits: [
      {
        file: 'topology/evidence/redis.js',
        text: `if (settled && (standing === 'reloaded' || rivals.length === 0))`,
        replacement: 'if (settled)',
      },
    ],
  },
  'no-redis-has-to-wait': {
    rule: 6,
    seed: 121,
    why: 'a Redis that was restarted with less is followed as soon as it has said that it is the primary',
    edits: [
      {
        file: 'topology/evidence/redis.js',
        text: '(claim?.runId === history.runId ? claim.since : now) >= settleMs',
        replacement: '(claim?.runId === history.runId ? claim.since : now) >= 0',
      },
    ],
  },
  'a-lagging-twin-takes-over': {
    rule: 6,
    seed: 151,
    why: 'of two MySQL masters the other one is followed at once, whatever it lacks',
    edits: [
      {
        file: 'topology/evidence/mysql.js',
        text: `if (judgement.kind === 'fit')`,
        replacement: 'if (true)',
      },
    ],
  },
  'the-first-in-order-comes-back': {
    rule: 8,
    why: 'under `ordered` the first server in the file takes the writers back when it returns, whatever it missed',
    edits: [
      {
        file: 'topology/elect.js',
        text: 'return (stay ?? {',
        replacement: 'return (null ?? {',
      },
    ],
  },
};
