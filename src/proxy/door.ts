// A port and whose clients come in by it: a frontend's, and after a reload perhaps another's. Opened before it is known that
// the reload succeeds; who connects meanwhile waits. No decisions about clients. Owned by a frontend, moved by proxy.ts.

import { type Address } from '../core/address.ts';
import { REFUSALS_MAX } from '../core/limits.ts';
import {
  type Driver,
  type IncomingClient,
  type Listener,
  type ListenRequest,
  type TcpOptions,
} from './driver.ts';

export interface DoorOwner {
  accepted(client: IncomingClient): void;
  acceptError(code: string, detail: string): void;
}

export class Door {
  #listener: Listener | null = null;
  #owner: DoorOwner | null = null;
  readonly #early: IncomingClient[] = [];

  /** Rejects with BIND_FAILED. */
  static async open(driver: Driver, request: ListenRequest): Promise<Door> {
    const door = new Door();
    door.#listener = await driver.listen(request, {
      accepted: client => door.#accepted(client),
      acceptError: (code, detail) => door.#owner?.acceptError(code, detail),
    });
    return door;
  }

  private constructor() {}

  get address(): Address | null {
    return this.#listener?.address ?? null;
  }

  get descriptors(): readonly number[] {
    return this.#listener?.descriptors ?? [];
  }

  /** Who connects from now on is a client of `owner`, and those who came before it. */
  leadTo(owner: DoorOwner): void {
    this.#owner = owner;
    for (const client of this.#early.splice(0)) owner.accepted(client);
  }

  keepAlive(tcp: TcpOptions): void {
    this.#listener?.keepAlive(tcp);
  }

  close(): void {
    this.#listener?.close();
    for (const { socket } of this.#early.splice(0)) socket.destroy();
  }

  #accepted(client: IncomingClient): void {
    if (this.#owner !== null) this.#owner.accepted(client);
    else if (this.#early.length < REFUSALS_MAX) this.#early.push(client);
    else client.socket.destroy();
  }
}
