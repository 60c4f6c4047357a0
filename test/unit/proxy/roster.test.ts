// The roster: a set that keeps its members' places right, whoever leaves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NOWHERE, Roster } from '../../../src/proxy/roster.ts';

interface Member {
  readonly id: number;
  place: number;
}

const places = {
  get: (member: Member) => member.place,
  set: (member: Member, place: number): void => {
    member.place = place;
  },
};

test('roster: it holds whom a Set would hold, whatever comes and goes', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(7), { maxLength: 60 }), toggles => {
      const members = Array.from({ length: 8 }, (_, id): Member => ({ id, place: NOWHERE }));
      const roster = new Roster(places);
      const expected = new Set<Member>();
      for (const id of toggles) {
        const member = members[id];
        assert.ok(member);
        if (expected.has(member)) assert.ok(roster.delete(member));
        else roster.add(member);
        if (!expected.delete(member)) expected.add(member);
        assert.equal(roster.size, expected.size);
        assert.deepEqual(new Set(roster.members()), expected);
      }
      for (const member of members) assert.equal(roster.delete(member), expected.has(member));
      assert.ok(members.every(({ place }) => place === NOWHERE));
    }),
  );
});

test('roster: nobody enters twice, and a stranger leaves nothing behind', () => {
  const roster = new Roster(places);
  const other = new Roster(places);
  const [one, two]: readonly [Member, Member] = [
    { id: 1, place: NOWHERE },
    { id: 2, place: NOWHERE },
  ];
  roster.add(one);
  assert.throws(() => roster.add(one), { code: 'INTERNAL' });
  other.add(two);
  assert.equal(roster.delete(two), false);
  assert.deepEqual([roster.members(), other.members()], [[one], [two]]);
});
