// What the bench of reloads needs of a proxy. Implemented by pointsman.ts and haproxy.ts; played by run.ts.

import { type Servers } from '../../test/support/pair.ts';

export interface Contender {
  readonly name: string;
  start(servers: Servers): Promise<Running>;
}

export interface Running {
  readonly port: number;
  /** Another configuration each turn; resolves when it is in force. */
  reload(turn: number): Promise<void>;
  /** That carry sessions now. */
  processes(): number;
  stop(): Promise<void>;
}
