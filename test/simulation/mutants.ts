// Known-bad changes of the production code, at least one for each safety rule: what the simulation must catch. Data only.
// Applied to the compiled files as they are loaded (mutant-hooks.ts), so that nothing in src knows of them. A text that is
// not found exactly once in its file fails the run: who changes that line changes the mutant too.
// Imports nothing, since what it leads to would be loaded before the mutant is in place.

interface Edit {
  /** Compiled file under dist/src. */
  readonly file: string;
  readonly text: string;
  readonly replacement: string;
}

interface Mutant {
  /** A rule's number in the design, or one of the oracle's own. */
  readonly rule: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 'live' | 'leak';
  /** What a careless change would have been, and how it hurts. */
  readonly why: string;
  readonly edits: readonly Edit[];
}

export const mutants: Readonly<Record<string, Mutant>> = {
  'last-answer-will-do': {
    rule: 1,
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
    why: 'sessions to a server that left the members are looked after by nobody',
    edits: [
      {
        file: 'proxy/failover.js',
        text: `close(name, 'server-left', registry.closeAll(view.name, name, 'server-left'));`,
        replacement: '',
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
        text: `    if (standing(present, refused) === 'doubtful') {
        return {`,
        replacement: `    if (false) {
        return {`,
      },
    ],
  },
  'old-timelines-are-welcome': {
    rule: 6,
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
    why: '“too many connections” and “starting up” count as failed probes',
    edits: [{ file: 'health/state.js', text: `if (outcome === 'inconclusive')`, replacement: 'if (false)' }],
  },
  'first-in-the-file-wins': {
    rule: 8,
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
        text: '    take(now) {\n',
        replacement: '    take(now) {\n        if (now > 4000) return [];\n',
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
};
