// The proxy's own waiting times and paces, with the reason for each. What an operator sets is in the config;
// what a stranger may make us hold is in core/limits.ts.

/** A server closes a cancel connection as soon as it has sent the signal; one that doesn't is no help any more. */
export const CANCEL_TIMEOUT_MS = 5_000;

/** How long a closed client may take to read what it was already sent, before its socket is destroyed. */
export const LINGER_MS = 5_000;

/** A server that has ended its half says nothing more: a client that neither reads nor closes meanwhile is let go. */
export const HALF_CLOSED_MAX_MS = 60_000;

/** Longest time between two looks at the byte counters of open sessions. */
export const SWEEP_MAX_MS = 5_000;

/**
 * When a session may end for its age, as parts of max_session_age: each at a point of its own between these two, if it rests,
 * and later at the first rest. At the end of that time it ends anyway.
 */
export const AGE_FIRST_SHARE = 0.5;
export const AGE_LAST_SHARE = 0.9;

/** So often a session is looked at in the time that it may get old. */
export const AGE_LOOKS = 20;

/** How long the other workers may take to say whose a cancel key is: they answer in turns of their loops, or are gone. */
export const WORKER_KEY_ANSWER_MS = 250;

/** Clients that connect while the loop is busy wait in the kernel, as far as it allows (net.core.somaxconn). */
export const LISTEN_BACKLOG = 4096;

/** An accept error that repeats (no descriptors) is told of at most this often. */
export const ACCEPT_ERROR_INTERVAL_MS = 10_000;

/**
 * Held clients that may connect and log in at the same time. A login costs a server a process and 5–10 ms of CPU: 32 at
 * once on two cores delayed the very first answer from 15 to 80 ms, and the last not at all (decision 4).
 */
export const RELEASE_BURST = 4;

/** While those are under way, this many more go every RELEASE_TICK_MS: slow or unseen (TLS) logins starve nobody. */
export const RELEASE_TRICKLE = 2;
export const RELEASE_TICK_MS = 10;

/** A login whose end we don't see (TLS) or that takes longer no longer counts as one under way. */
export const LOGIN_MAX_MS = 100;

/** After every candidate refused: the pause before one held client tries again on behalf of all. */
export const RETRY_PAUSE_MS = 25;

/** How often a frontend whose clients wait for room at a server looks whether a session there has ended elsewhere. */
export const ROOM_POLL_MS = 10;

/**
 * Clients that wait for a server's room in one worker, or at one frontend, leave the next place to those elsewhere who wait
 * for this much longer: nobody starves, and as a rule a place goes to whoever is at hand.
 */
export const FAIR_WAIT_MS = 50;

/** Clients that are turned away without a word are told of in sums, at this interval. */
export const TURNED_AWAY_TELL_MS = 100;

/**
 * A connection attempt that hangs for this long casts doubt on its server: it goes on, but who comes meanwhile and has a
 * choice goes elsewhere. Above any round trip, below the second after which the kernel sends a lost SYN again.
 */
export const SLOW_DIAL_MS = 250;

/**
 * How often one request may be sent again, and no more often than there are candidates: enough for servers that die one
 * after the other, few for a request that kills its server, or that every server answers by closing.
 */
export const REPEATS_MAX = 3;

/** What a server that has just come up gets of its weight at first; it grows from there over `slow_start`. */
export const SLOW_START_FIRST_SHARE = 0.1;

/** When an HTTP client that got no server may ask again: a failover is over by then as a rule. */
export const RETRY_AFTER_SECONDS = 1;

/** Answers to SSLRequest and GSSENCRequest that a refused client gets; libpq asks for each once. */
export const ENCRYPTION_REFUSALS_MAX = 2;

/** How often it is looked whether workers apply the views they are shown, and how often in a row they may not have. */
export const STUCK_CHECK_MS = 500;
export const STUCK_STRIKES = 4;

/** A worker that died is replaced at once if it had run for this long; else after a pause that doubles. */
export const WORKER_STEADY_MS = 10_000;
export const WORKER_RESTART_MIN_MS = 100;
export const WORKER_RESTART_MAX_MS = 5_000;

/** How long an answer of a worker is waited for: one that hangs is ended soon after (STUCK_STRIKES). */
export const WORKER_ANSWER_MS = 2_000;

/** How long a worker that was told to end may take beyond the deadline it was given. */
export const WORKER_END_MS = 2_000;
