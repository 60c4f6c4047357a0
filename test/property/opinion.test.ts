// Whom an orchestrator means, whatever the names on both sides: by address, and by name only where that misleads nobody.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Nominee, type Opinion, type ServerView } from '../../src/topology/model.ts';
import { isForbidden, isNamed } from '../../src/topology/opinion.ts';
import { pass, server } from '../support/views.ts';

const names = ['node_1', 'node_2', 'node_3'];
const ports = [5001, 5002, 5003, 5004];

/** Ours: the same names as theirs, each at an address of its own, in an order of its own. */
const ours = fc
  .tuple(fc.shuffledSubarray(ports, { minLength: 3, maxLength: 3 }), fc.integer({ min: 1, max: 3 }))
  .map(([at, count]): readonly ServerView[] =>
    names
      .slice(0, count)
      .map((name, index) => ({ ...server(name, pass()), address: { host: '10.0.0.1', port: at[index]! } })),
  );
const theirs = fc
  .shuffledSubarray(ports, { minLength: 3, maxLength: 3 })
  .map((at): readonly Nominee[] =>
    names.map((name, index) => ({ name, address: { host: '10.0.0.1', port: at[index]! } })),
  );
/** The first is the primary, or nobody is; the others must not be it. */
const scene = fc.record({ servers: ours, nominees: theirs, nobody: fc.boolean() });

const opinionOf = (nominees: readonly Nominee[], nobody: boolean): Opinion => ({
  words: 'the monitor says so',
  primary: nobody ? null : nominees[0]!,
  against: nominees.slice(1),
  process: null,
  passive: false,
  at: 0,
});

test('opinion: one server at most is named, and the one at the address if there is one', () => {
  fc.assert(
    fc.property(scene, ({ servers, nominees }) => {
      const opinion = opinionOf(nominees, false);
      const named = servers.filter(each => isNamed(opinion, each, servers));
      const at = servers.filter(({ address }) => address.port === opinion.primary?.address.port);
      assert.ok(named.length <= 1, named.map(({ name }) => name).join());
      if (at.length > 0) assert.deepEqual(named, at);
    }),
  );
});

test('opinion: whom it names by address it never forbids, and each other by address it does', () => {
  fc.assert(
    fc.property(scene, ({ servers, nominees, nobody }) => {
      const opinion = opinionOf(nominees, nobody);
      const ports = opinion.against.map(({ address }) => address.port);
      for (const each of servers) {
        const forbidden = isForbidden(opinion, each, { servers, current: each.name });
        if (each.address.port === opinion.primary?.address.port) assert.equal(forbidden, false);
        if (ports.includes(each.address.port)) assert.equal(forbidden, true);
      }
    }),
  );
});
