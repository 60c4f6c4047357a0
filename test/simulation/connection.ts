// One TCP connection from Pointsman to a simulated server: the three-way handshake, bytes both ways, ends and resets, and
// the server's side of it: it logs clients in and takes their writes, as what it is at that moment.
// Made by driver.ts.

import { newLanes, type Direction, type Path } from './network.ts';
import { type SimServer } from './server.ts';
import { type Remote, type SimSocket } from './socket.ts';
import { said } from './words.ts';

export class ServerConnection implements Remote {
  readonly #server: SimServer;
  readonly #path: Path;
  readonly #lanes = newLanes();
  /** The process that accepted it. */
  #incarnation = 0;
  #socket: SimSocket | null = null;
  #loggedIn = false;
  /** Given up by Pointsman, and by the server. */
  #isReset = false;
  #isDead = false;
  #stopListening: (() => void) | null = null;

  constructor(server: SimServer, path: Path) {
    this.#server = server;
    this.#path = path;
  }

  /** Sends a SYN. Neither is called when nothing answers. */
  connect(accepted: () => void, refused: () => void): void {
    this.#send('to', () => {
      const { state, incarnation } = this.#server;
      if (state === 'off' || this.#isReset) return;
      if (state === 'stopped') {
        this.#send('from', refused);
        return;
      }
      // The kernel accepts for a process that is frozen, too.
      this.#incarnation = incarnation;
      this.#stopListening = this.#server.onDeath(silently => this.#died(silently));
      this.#send('from', accepted);
    });
  }

  opened(socket: SimSocket): void {
    this.#socket = socket;
  }

  data(bytes: Uint8Array): void {
    this.#send('to', () => this.#reached(() => this.#received(bytes)));
  }

  end(): void {
    this.#send('to', () => this.#reached(() => this.#close()));
  }

  reset(): void {
    if (this.#isReset) return;
    // What has left already still arrives, ahead of this; what waits to be sent again never does.
    this.#send('to', () => this.#forget(), true);
    this.#isReset = true;
  }

  /** Something has come to the server's machine. */
  #reached(task: () => void): void {
    const { state, incarnation } = this.#server;
    if (state === 'off') return;
    if (this.#isDead || incarnation !== this.#incarnation) this.#sendReset();
    else this.#server.receive(task);
  }

  #received(bytes: Uint8Array): void {
    const server = this.#server;
    if (!this.#loggedIn) {
      if (server.state === 'starting' || server.busy) {
        this.#say(said.refused);
        this.#close();
        return;
      }
      this.#loggedIn = true;
      this.#say(said.welcome);
      return;
    }
    if (bytes === said.read) {
      this.#say(said.row);
    } else if (server.isWritable) {
      server.data.lsn += bytes.length;
      this.#say(said.done);
    } else {
      this.#say(said.readOnly);
    }
  }

  #say(bytes: Uint8Array): void {
    this.#send('from', () => this.#socket?.arrived(bytes));
  }

  /** The server ends both halves. */
  #close(): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#forget();
    this.#send('from', () => this.#socket?.arrivedEnd());
  }

  #died(silently: boolean): void {
    this.#isDead = true;
    // Of a machine without power the next keepalive tells, when it is back; sooner here than in life.
    if (silently) this.#send('to', () => this.#sendReset());
    else this.#sendReset();
  }

  #sendReset(): void {
    this.#send('from', () => this.#socket?.arrivedReset());
  }

  #forget(): void {
    this.#stopListening?.();
    this.#stopListening = null;
  }

  #send(direction: Direction, arrive: () => void, evenDropped = false): void {
    if (direction === 'to' && this.#isReset) return;
    const isDropped = (): boolean => direction === 'to' && this.#isReset && !evenDropped;
    this.#path.send(direction, this.#lanes, {
      arrive,
      get isDropped() {
        return isDropped();
      },
    });
  }
}
