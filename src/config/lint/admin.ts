// Rules about the admin server: the token that changing calls must show.
// Not what a single value must be: the schema says that. Part of lint.ts.

import { isLoopback } from '../addresses.ts';
import { error, warning, type Rule } from './finding.ts';

/** 16 random characters are 80 bits and more: nobody guesses that over a network. */
const TOKEN_USUAL_MIN_CHARS = 16;

const at = ['admin', 'token'];

const tokenIsElsewhere: Rule = ({ admin }, source) =>
  admin.token !== null && source.isLiteral(at)
    ? [warning(at, 'a token in clear: whoever reads this file has it; use ${ENV} or ${file:/path}')]
    : [];

const tokenIsLong: Rule = ({ admin: { token, bind } }) => {
  if (token === null || token.length >= TOKEN_USUAL_MIN_CHARS) return [];
  const short = `is shorter than ${TOKEN_USUAL_MIN_CHARS} characters: it can be guessed; openssl rand -hex 32 makes a good one`;
  if (isLoopback(bind.host)) return [warning(at, short)];
  return [error(at, `${short}; admin.bind is open to others than this machine`, ['admin', 'bind'])];
};

export const adminRules: readonly Rule[] = [tokenIsElsewhere, tokenIsLong];
