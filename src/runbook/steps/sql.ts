// Statements on servers of a backend, over a connection that is made for it and closed again. Answers as text, row by row.
// The clients are loaded when they are first needed. Used by the steps `sql` and `wait`, and to look for transactions.

import { type ConnectionOptions } from 'node:tls';
import { type Connection, type SslOptions } from 'mysql2';
import { type Client } from 'pg';
import { type BackendConfig, type RunbookConfig } from '../../config/schema.ts';
import { type Address } from '../../core/address.ts';
import { describeError } from '../../core/errors.ts';
import { truncate } from '../../core/limits.ts';
import { tlsOptions } from '../../health/probers/tls.ts';
import { type BackendView } from '../../topology/model.ts';

interface Login {
  readonly user: string;
  readonly password: string | null;
  readonly database: string | null;
}

export interface Place {
  readonly address: Address;
  readonly protocol: 'postgres' | 'mysql';
  readonly tls: Extract<BackendConfig, { protocol: 'postgres' }>['check']['tls'];
  readonly login: Login;
}

export type Rows = readonly (readonly (string | null)[])[];

/** A connection that can be asked again and again, and ended at any moment. */
export interface SqlSession {
  /** Rejects with what the server says. */
  ask(query: string): Promise<Rows>;
  /** Harmless at any time; what is being asked fails. */
  end(): void;
}

type Encryption = ReturnType<typeof tlsOptions> | null;

/** Rejects where there is no connection to be had. `prefer`: TLS where the server offers it. */
export async function openSql(place: Place): Promise<SqlSession> {
  const { tls, address } = place;
  if (tls.mode === 'disable') return open(place, null);
  try {
    return await open(place, tlsOptions(address, tls));
  } catch (thrown) {
    if (tls.mode !== 'prefer' || !offersNoTls(thrown)) throw thrown;
    return open(place, null);
  }
}

function offersNoTls(thrown: unknown): boolean {
  const { code, message } = describeError(thrown);
  return code === 'HANDSHAKE_NO_SSL_SUPPORT' || message.includes('does not support SSL');
}

const open = (place: Place, tls: Encryption): Promise<SqlSession> =>
  place.protocol === 'postgres' ? openPostgres(place, tls) : openMysql(place, tls);

async function openPostgres({ address, login }: Place, tls: Encryption): Promise<SqlSession> {
  const { default: pg } = await import('pg');
  const client: Client = new pg.Client({
    host: address.host,
    port: address.port,
    user: login.user,
    password: login.password ?? '',
    database: login.database ?? 'postgres',
    application_name: 'pointsman runbook',
    ssl: tls ?? false,
  });
  // What is being asked is told by its own promise; between two questions nobody needs to hear of it.
  client.on('error', () => undefined);
  await client.connect();
  const asText = { getTypeParser: () => (value: string) => value };
  return {
    async ask(query) {
      const result = await client.query<(string | null)[]>({ text: query, rowMode: 'array', types: asText });
      // Several statements in one have several results: the last one's counts.
      const last = Array.isArray(result) ? result.at(-1) : result;
      return last?.rows ?? [];
    },
    end() {
      client.end().catch(() => undefined); // it is being thrown away either way
    },
  };
}

async function openMysql({ address, login, tls: { mode } }: Place, tls: Encryption): Promise<SqlSession> {
  const { default: mysql } = await import('mysql2');
  const connection: Connection = mysql.createConnection({
    host: address.host,
    port: address.port,
    user: login.user,
    password: login.password ?? '',
    ...(login.database === null ? {} : { database: login.database }),
    rowsAsArray: true,
    typeCast: field => field.string(),
    ...(tls === null ? {} : { ssl: sslFor(tls, mode) }),
  });
  connection.on('error', () => undefined); // as above
  await new Promise<void>((resolve, reject) => {
    connection.connect(thrown => (thrown === null ? resolve() : reject(thrown)));
  });
  return {
    ask: query =>
      new Promise((resolve, reject) => {
        connection.query(query, (thrown, result: unknown) => {
          if (thrown === null) resolve(rowsIn(result));
          else reject(thrown);
        });
      }),
    end: () => connection.destroy(),
  };
}

/** The client checks the name itself, against the host that it connects to. */
function sslFor({ ca, rejectUnauthorized = true }: ConnectionOptions, mode: string): SslOptions {
  const authorities = typeof ca === 'string' || Buffer.isBuffer(ca) ? { ca } : {};
  return { rejectUnauthorized, verifyIdentity: mode === 'verify-full', ...authorities };
}

/** Of a procedure there are several answers, the last without rows. */
function rowsIn(result: unknown): Rows {
  if (!Array.isArray(result)) return [];
  const [first] = result as readonly unknown[];
  if (Array.isArray(first) && (first.length === 0 || Array.isArray(first[0]))) return first as Rows;
  return result as Rows;
}

/** Where a server of the backend is asked, and as whom: the step's own words, else the runbook's, else the probe's. */
export function placeOf(
  server: string,
  own: RunbookConfig['login'],
  view: BackendView,
  { backend, login }: { readonly backend: BackendConfig; readonly login: RunbookConfig['login'] },
): Place {
  const found = view.servers.find(({ name }) => name === server);
  if (found === undefined) throw new Error(`there is no server ${JSON.stringify(server)} in ${view.name}`);
  if (backend.protocol !== 'postgres' && backend.protocol !== 'mysql') {
    throw new Error(`servers of protocol ${backend.protocol} know no SQL`);
  }
  const { check } = backend;
  const user = own.user ?? login.user;
  // The probe's password is that of the probe's user.
  const password =
    own.password ?? login.password ?? (user === null || user === check.user ? check.password : null);
  return {
    address: found.address,
    protocol: backend.protocol,
    tls: check.tls,
    login: {
      user: user ?? check.user,
      password,
      database: own.database ?? login.database ?? check.database,
    },
  };
}

/** Where two answers differ first, as a clause; `null`: nowhere. */
export function firstDifference(one: Rows, other: Rows): string | null {
  if (one.length !== other.length) return `${one.length} rows and ${other.length}`;
  const at = one.findIndex((row, index) => JSON.stringify(row) !== JSON.stringify(other[index]));
  if (at === -1) return null;
  const show = (row: Rows[number] | undefined): string =>
    truncate((row ?? []).map(v => v ?? 'NULL').join(' | '), 100);
  return `row ${at + 1} is "${show(one[at])}" and "${show(other[at])}"`;
}
