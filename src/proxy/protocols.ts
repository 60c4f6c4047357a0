// What the proxy knows of the protocols it carries: the one table that says what is read before routing, when a client can
// be told why it gets no server, what shows that a server has let it in, and what may be asked twice. No bytes: those are
// refusal.ts's.
// Read by session.ts, session-moves.ts and connection.ts.

import { type Protocol } from '../config/schema.ts';

export interface ProtocolTraits {
  /**
   * What a client must have sent before it is routed. `first-bytes`: anything, so that it is at hand should it have to be
   * sent again; one that stays silent is routed all the same, after FIRST_BYTES_TIMEOUT_MS.
   */
  readonly reads: 'first-packet' | 'first-bytes' | 'nothing';
  /**
   * When a client that gets no server can be told why.
   * `after-startup`: after its StartupMessage. `at-once`: in place of the server's greeting, which comes first.
   * `after-first-bytes`: once it has asked something. `never`: nobody knows what it would understand.
   */
  readonly refusal: 'after-startup' | 'at-once' | 'after-first-bytes' | 'never';
  /**
   * What shows that a server has taken a client on: until then the client counts as one that is under way, and the hold
   * lets the others go the more slowly (hold.ts). `key`: the cancel key, which ends PostgreSQL's login. `greeting`: the
   * server's first bytes; by then a thread serves the client, and that is what costs a MySQL server. `nothing`: a server
   * has no more work with a new client than to accept it, so being connected is enough.
   */
  readonly arrival: 'key' | 'greeting' | 'nothing';
  /**
   * What another server may be asked again when the first went without a word. `safe-requests`: one whole request that
   * changes nothing (protocol/http/repeatable.ts); a POST is never sent twice. `nothing`: whatever was asked may have
   * been done.
   */
  readonly repeats: 'safe-requests' | 'nothing';
  /**
   * How TLS that ends here begins. `asked`: the client asks in its first packet. `amid`: it asks during the login, when it
   * has a server already. `whole`: with the first byte.
   */
  readonly tls: 'asked' | 'amid' | 'whole';
}

/**
 * HTTP and Redis clients are told only when they have asked: an answer to no question is taken for the answer to the next
 * one, or ends the program (node-redis, an idle keep-alive connection of any HTTP client). Redis itself tells at once that
 * it has too many clients; its clients are known to suffer from that.
 */
export const protocolTraits: Readonly<Record<Protocol, ProtocolTraits>> = {
  postgres: {
    reads: 'first-packet',
    refusal: 'after-startup',
    arrival: 'key',
    repeats: 'nothing',
    tls: 'asked',
  },
  mysql: { reads: 'nothing', refusal: 'at-once', arrival: 'greeting', repeats: 'nothing', tls: 'amid' },
  redis: {
    reads: 'nothing',
    refusal: 'after-first-bytes',
    arrival: 'nothing',
    repeats: 'nothing',
    tls: 'whole',
  },
  http: {
    reads: 'first-bytes',
    refusal: 'after-first-bytes',
    arrival: 'nothing',
    repeats: 'safe-requests',
    tls: 'whole',
  },
  tcp: { reads: 'nothing', refusal: 'never', arrival: 'nothing', repeats: 'nothing', tls: 'whole' },
};
