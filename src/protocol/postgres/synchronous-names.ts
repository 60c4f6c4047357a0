// The value of synchronous_standby_names: how many standbys a commit waits for, and of which names. Text only, no I/O.
// Grammar: PostgreSQL documentation, 19.6.2 "Primary Server" (src/backend/replication/syncrep_gram.y). Used by loss reports.

export interface SynchronousNames {
  /** A commit is answered when so many of the standbys have it. */
  readonly count: number;
  /** In lower case, for the server compares without regard to it. `*` stands for any name. */
  readonly names: readonly string[];
}

const LIST = /^\s*(?:(?:(?:ANY|FIRST)\s+|(?=\d))(\d{1,4})\s*\((.*)\)|(.*))\s*$/is;
const NAME = /\s*(?:"((?:[^"]|"")+)"|([^\s",()]+))\s*(?:,|$)/uy;

/** `null`: nothing is waited for, or it isn't such a list. */
export function parseSynchronousNames(text: string): SynchronousNames | null {
  const [, count = '1', inBrackets, bare] = LIST.exec(text) ?? [];
  const names = parseNames(inBrackets ?? bare ?? '');
  return names === null || Number(count) < 1 ? null : { count: Number(count), names };
}

function parseNames(list: string): readonly string[] | null {
  const names: string[] = [];
  NAME.lastIndex = 0;
  while (NAME.lastIndex < list.length) {
    const [, quoted, plain] = NAME.exec(list) ?? [];
    const name = quoted?.replaceAll('""', '"') ?? plain;
    if (name === undefined) return null;
    names.push(name.toLowerCase());
  }
  return names.length === 0 || /,\s*$/.test(list) ? null : names;
}
