// PROXY headers beside TLS, the built program on both drivers: a header that comes before the client's handshake, one that goes
// before ours with a server, and one before that of a probe. The server reads what really came, byte by byte.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls, createSecureContext, TLSSocket, type SecureContext } from 'node:tls';
import { formatAddress, type Address } from '../../src/core/address.ts';
import { decodeProxyHeader } from '../../src/protocol/proxy-protocol/decode.ts';
import { encodeV1 } from '../../src/protocol/proxy-protocol/encode.ts';
import { Authority } from '../support/authority.ts';
import { runPointsman } from '../support/pointsman.ts';
import { until } from '../support/wait.ts';

interface Heard {
  /** Whom the header named; `null`: nobody, as probes do. */
  readonly client: Address | null;
  text: string;
}

/** Takes a PROXY header in plain text, then speaks TLS: answers each request line, and says what it heard. */
class HeaderThenTls {
  readonly heard: Heard[] = [];
  readonly #context: SecureContext;
  readonly #server = createServer(socket => this.#greet(socket));

  constructor(certFile: string, keyFile: string) {
    this.#context = createSecureContext({ cert: readFileSync(certFile), key: readFileSync(keyFile) });
  }

  async listen(): Promise<Address> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
    return { host: '127.0.0.1', port: (this.#server.address() as AddressInfo).port };
  }

  close(): void {
    this.#server.close();
  }

  #greet(socket: Socket): void {
    socket.on('error', () => undefined); // probes of the other kind reset their connections
    let bytes = Buffer.alloc(0);
    const take = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const header = decodeProxyHeader(bytes);
      if (header.kind === 'need') return;
      socket.off('data', take).pause();
      if (header.kind !== 'ok') {
        socket.destroy();
        return;
      }
      socket.unshift(bytes.subarray(header.consumed));
      const heard: Heard = { client: header.value.ends?.source ?? null, text: '' };
      this.heard.push(heard);
      this.#talk(new TLSSocket(socket, { isServer: true, secureContext: this.#context }), heard);
    };
    socket.on('data', take);
  }

  #talk(secure: TLSSocket, heard: Heard): void {
    secure.on('error', () => undefined); // a peer that leaves
    secure.on('data', chunk => {
      heard.text += String(chunk);
      if (heard.text.endsWith('\r\n\r\n')) secure.end('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n');
      else if (heard.text.endsWith('\n')) secure.write(`you said ${heard.text}`);
    });
  }
}

const announced = {
  source: { host: '192.0.2.7', port: 4711 },
  destination: { host: '198.51.100.1', port: 443 },
};

describe('PROXY headers beside TLS', () => {
  const authority = new Authority();
  const { certFile, keyFile } = authority.issue('server', ['localhost', '127.0.0.1']);
  const ca = readFileSync(authority.caFile);
  const server = new HeaderThenTls(certFile, keyFile);
  let address: Address;
  before(async () => {
    address = await server.listen();
  });
  after(() => {
    server.close();
    authority.dispose();
  });

  for (const driver of ['net', 'kernel']) {
    test(`${driver}: a header before the client's handshake is believed, and one goes before ours with the server`, async t => {
      server.heard.length = 0;
      const towards = { mode: 'verify-full', ca_file: authority.caFile };
      const pointsman = await runPointsman({
        engine: { driver },
        frontends: {
          secret: {
            ...{ bind: '127.0.0.1:0', backend: 'secret', route: 'any' },
            accept_proxy: { from: ['127.0.0.1'] },
            allow: ['192.0.2.0/24'],
            tls: { certificates: [{ cert_file: certFile, key_file: keyFile }] },
          },
        },
        backends: {
          secret: {
            protocol: 'http',
            check: { path: '/health', status: [204], tls: towards },
            tls: towards,
            send_proxy: 'v2',
            servers: { one: formatAddress(address) },
          },
        },
      });
      t.after(() => pointsman.stop());
      await until('the probe to pass', async () => {
        const [backend] = (await pointsman.state()).backends;
        return backend?.servers[0]?.health === 'up';
      });
      const probe = server.heard[0];
      assert.equal(probe?.client, null, 'a probe names nobody');
      assert.match(probe.text, /^GET \/health HTTP\/1\.1\r\n/);

      const { host, port } = pointsman.frontend('secret');
      const plain = connect(port, host);
      plain.write(encodeV1(announced));
      const client = connectTls({ socket: plain, ca, servername: 'localhost' });
      let answer = '';
      client.on('data', chunk => (answer += String(chunk)));
      client.write('hello\n');
      await until('the answer', () => answer === 'you said hello\n');
      const session = server.heard.find(({ text }) => text === 'hello\n');
      assert.deepEqual(session?.client, announced.source);
      client.end();
    });
  }
});
