// The application of system 001 as a program of its own: `node coffee-app.js PORT DATABASE_PORT PASSWORD`. GET /coffees, POST
// /coffees?name=…, GET /health. One connection per request, to whatever listens on the database port. For tests.

import { createServer } from 'node:http';
import { Client } from 'pg';

const [port = '', databasePort = '', password = ''] = process.argv.slice(2);

async function ask(text: string, values: readonly unknown[] = []): Promise<readonly { name: string }[]> {
  const client = new Client({
    host: '127.0.0.1',
    port: Number(databasePort),
    user: 'postgres',
    password,
    database: 'coffee',
  });
  client.on('error', () => undefined); // lost amid a question: that rejects by itself
  await client.connect();
  try {
    return (await client.query<{ name: string }>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  const answer = async (): Promise<unknown> => {
    if (pathname === '/health') return { well: true };
    if (request.method !== 'POST')
      return (await ask('select name from coffee order by id')).map(({ name }) => name);
    return ask('insert into coffee (name) values ($1) returning name', [searchParams.get('name')]);
  };
  answer().then(
    value => response.end(JSON.stringify(value)),
    (thrown: unknown) => response.writeHead(500).end(String(thrown)),
  );
}).listen(Number(port), '127.0.0.1');
