// What the YAML parser's complaints mean for someone who writes a config. A table, used by yaml-tree.ts.
// The parser's own texts aren't shown: they quote the file, and with it whatever secret stands there.

import { type ErrorCode } from 'yaml';

const NOT_YAML =
  'this is not YAML as it stands; put the value in quotes if it holds any of : # { } [ ] , & * ! | > % @ `';

export const syntaxMessages: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: 'an alias (*name) can carry no anchor and no tag',
  BAD_ALIAS: 'an alias (*name) needs a name, without ":" at its end',
  BAD_COLLECTION_TYPE: 'this tag does not fit what it stands before',
  BAD_DIRECTIVE: 'a line that starts with "%" is not understood; remove it',
  BAD_DQ_ESCAPE: 'unknown escape in a "…" text; write \\\\ for a backslash, or use \'…\'',
  BAD_INDENT: 'wrong indentation: it must match that of the keys beside it',
  BAD_PROP_ORDER: 'anchors and tags stand before the value, on its line',
  BAD_SCALAR_START: 'a value cannot start with this character; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a second "key:" on one line; start a new, deeper line, or put the value in quotes',
  BLOCK_IN_FLOW: 'indented keys cannot stand within { } or [ ]',
  DUPLICATE_KEY: 'this key stands here a second time; only one can count',
  IMPOSSIBLE: NOT_YAML,
  KEY_OVER_1024_CHARS: 'a key of more than 1024 characters',
  MISSING_CHAR:
    'something is missing here: a closing quote, bracket or brace, a comma, a space after ":", or the ":" itself',
  MULTILINE_IMPLICIT_KEY: 'a key must end with ":" on its own line',
  MULTIPLE_ANCHORS: 'a value can have one anchor only',
  MULTIPLE_DOCS: 'a second document starts here; a config is a single one',
  MULTIPLE_TAGS: 'a value can have one tag only',
  NON_STRING_KEY: 'a key must be a plain word',
  RESOURCE_EXHAUSTION: 'this is nested too deeply',
  TAB_AS_INDENT: 'a tab is used as indentation; YAML wants spaces',
  TAG_RESOLVE_FAILED:
    'YAML tags (a word with "!" in front) are not supported; write the value alone, in quotes if need be',
  UNEXPECTED_TOKEN: NOT_YAML,
};
