// What steps are told: the words that `{{…}}` stands for, and the environment of programs. Pure.
// Values are names and addresses of the configuration and what servers said of their positions; never secrets.

import { formatAddress } from '../core/address.ts';
import { type BackendView, type ServerView } from '../topology/model.ts';
import { type StepContext } from './model.ts';

/** `null`: there is no such word. */
type Words = (name: string) => string | null;

const PLACE = /\{\{\s*([\w.-]+)\s*\}\}/g;

/** `{{from}}`, `{{to.host}}`, `{{server.pg1.port}}`, `{{epoch}}` … What is unknown stays as it is: it is no word of ours. */
export function fill(text: string, words: Words): string {
  return text.replaceAll(PLACE, (whole, name: string) => words(name) ?? whole);
}

/** The words in a text that stand for nothing. */
export function unknownWords(text: string, words: Words): readonly string[] {
  return [...text.matchAll(PLACE)].flatMap(([whole, name = '']) => (words(name) === null ? [whole] : []));
}

/** What must be known of a server to speak of it. */
type Known = Pick<ServerView, 'name' | 'address' | 'host' | 'lastAnswer'>;

interface Told extends Omit<StepContext, 'attempt' | 'view'> {
  view(): { readonly servers: readonly Known[] };
}

export function wordsOf(context: Told, more: Readonly<Record<string, string>> = {}): Words {
  const { servers } = context.view();
  const own = new Map(
    Object.entries({
      backend: context.backend,
      book: context.book,
      run: String(context.run),
      step: context.step,
      epoch: String(context.epoch),
      ...more,
    }),
  );
  return name => {
    const [first = '', ...rest] = name.split('.');
    if (first === 'from') return ofServer(servers, context.from, rest.join('.'));
    if (first === 'to') return ofServer(servers, context.to, rest.join('.'));
    if (first === 'server') return ofNamed(servers, rest);
    return own.get(name) ?? null;
  };
}

function ofServer(servers: readonly Known[], name: string | null, part: string): string | null {
  if (part === '') return name ?? '';
  if (!(part in parts)) return null;
  const server = servers.find(each => each.name === name);
  return server === undefined ? '' : partOf(server, part);
}

/** The name of a server may hold dots itself. */
function ofNamed(servers: readonly Known[], segments: readonly string[]): string | null {
  const part = segments.at(-1) ?? '';
  const server = servers.find(({ name }) => name === segments.slice(0, -1).join('.'));
  return server === undefined ? null : partOf(server, part);
}

const parts: Readonly<Record<string, (server: Known) => string>> = {
  address: ({ address, host }) => formatAddress(host === null ? address : { ...address, host }),
  host: ({ address, host }) => host ?? address.host,
  port: ({ address }) => String(address.port),
  position: ({ lastAnswer }) => lastAnswer?.facts.position ?? '',
};

function partOf(server: Known, part: string): string | null {
  return Object.hasOwn(parts, part) ? (parts[part]?.(server) ?? null) : null;
}

export function environmentOf(context: StepContext): Readonly<Record<string, string>> {
  const { servers } = context.view();
  const addressOf = (name: string | null): string => ofServer(servers, name, 'address') ?? '';
  return {
    POINTSMAN_BACKEND: context.backend,
    POINTSMAN_BOOK: context.book,
    POINTSMAN_RUN: String(context.run),
    POINTSMAN_STEP: context.step,
    POINTSMAN_ATTEMPT: String(context.attempt),
    POINTSMAN_EPOCH: String(context.epoch),
    POINTSMAN_FROM: context.from ?? '',
    POINTSMAN_FROM_ADDRESS: addressOf(context.from),
    POINTSMAN_TO: context.to ?? '',
    POINTSMAN_TO_ADDRESS: addressOf(context.to),
    POINTSMAN_SERVERS: listOf(context.view(), 'address'),
    POINTSMAN_POSITIONS: listOf(context.view(), 'position'),
  };
}

/** `pg1=10.0.0.1:5432 pg2=10.0.0.2:5432` */
function listOf({ servers }: BackendView, part: string): string {
  return servers.map(server => `${server.name}=${partOf(server, part) ?? ''}`).join(' ');
}
