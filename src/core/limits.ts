// Every bound on what a stranger can make us hold, in one place, with the reason for its size.
// Not the limits an operator sets: those are in the config.

/** A backend frame on a probe session: our answers take a few hundred bytes, an ErrorResponse with a long query a few KiB. */
export const PROBE_FRAME_MAX_BYTES = 64 * 1024;

/** Head of an HTTP answer to a probe, interim answers and trailers included: Node.js and HAProxy take 16 KiB as well. */
export const HTTP_HEAD_MAX_BYTES = 16 * 1024;

/** Body of an HTTP answer to a probe: a health page takes some hundred bytes, the start page of a site some 100 KiB. */
export const HTTP_BODY_MAX_BYTES = 256 * 1024;

/** What a plain TCP server may say before it says what is expected: banners and error lines are short. */
export const TCP_ANSWER_MAX_BYTES = 64 * 1024;

/** A Redis or Sentinel reply: INFO takes some 2 KiB, Sentinel's list of 64 replicas some 80 KiB. */
export const REDIS_REPLY_MAX_BYTES = 256 * 1024;

/** Items in one such reply: 64 replicas have some 50 each. */
export const REDIS_REPLY_MAX_ITEMS = 8192;

/** A packet on a MySQL probe session: a GTID set of thousands of ranges is a value of its own. */
export const MYSQL_PACKET_MAX_BYTES = 1024 * 1024;

/** A whole answer on one: an operator's own SQL may return more rows than the one that is read. */
export const MYSQL_ANSWER_MAX_BYTES = 4 * MYSQL_PACKET_MAX_BYTES;

/** A packet amid the login of a MySQL client that passes through us: attributes of a connection are 64 KiB at most. */
export const MYSQL_LOGIN_MAX_BYTES = 128 * 1024;

/** PostgreSQL's own MAX_STARTUP_PACKET_LENGTH (src/include/libpq/pqcomm.h). */
export const POSTGRES_STARTUP_MAX_BYTES = 10_000;

/** Backups in one directory that are looked at: a year of daily ones, and every name costs a look at the file. */
export const BACKUP_FILES_MAX = 1000;

/** What stands beside a backup about it: some 400 bytes. */
export const BACKUP_MANIFEST_MAX_BYTES = 64 * 1024;

/** What a program that dumps or restores says: its last words tell what it died of, and counts take a line a table. */
export const PROGRAM_TEXT_MAX_BYTES = 256 * 1024;

/** What one held client may send before we stop reading it; a PostgreSQL client sends one startup packet and waits. */
export const HELD_CLIENT_MAX_BYTES = 16 * 1024;

/** A PROXY header of version 2: addresses take 36 bytes, TLVs of a TLS client with its certificate's names some hundred. */
export const PROXY_HEADER_MAX_BYTES = 4096;

/** How long a proxy before us may take to say for whom it comes: it says so at once, and one SYN may be lost (3 s). */
export const PROXY_HEADER_TIMEOUT_MS = 5_000;

/** How long a new client may take to send its first bytes, and a refused one to take its answer. */
export const FIRST_BYTES_TIMEOUT_MS = 10_000;

/** Refused clients that still wait for their answer, per frontend; beyond it they are closed without one. */
export const REFUSALS_MAX = 256;

/**
 * Clients over a rate or an address's limit that are told so, a second and frontend; the others are closed unheard. Enough
 * for people to see what is wrong, few enough that a flood costs an accept and a close each.
 */
export const REFUSALS_PER_SECOND = 50;

/**
 * Client addresses that a frontend with such limits keeps in mind: four for each connection that it may hold, within these.
 * A place takes 32 bytes and 4 for each worker.
 */
export const ADDRESSES_MIN = 16 * 1024;
export const ADDRESSES_MAX = 256 * 1024;

/** Addresses whose connections are told to the store at once: with more, some wait for the next time. */
export const SHARED_TAKINGS_MAX = 500;

/** Text of a foreign error that we keep and show: a server can make its messages as long as it likes. */
const DETAIL_MAX_CHARS = 300;

/** Incidents kept in memory, the oldest dropped first. */
export const INCIDENTS_MAX = 100;

/** Lines in one incident's timeline; a flapping server must not fill memory. */
export const INCIDENT_EVENTS_MAX = 200;

/** Outputs of a runbook's steps in one incident: some 8 KiB each. */
export const INCIDENT_OUTPUTS_MAX = 50;

export function truncate(text: string, maxChars: number = DETAIL_MAX_CHARS): string {
  return text.length <= maxChars ? text : `${text.slice(0, maxChars - 1)}…`;
}

/** A configuration file: a hundred frontends take some 50 KiB, and parsing must stay a matter of moments. */
export const CONFIG_MAX_BYTES = 1024 * 1024;

/** Keys and values in a configuration, aliases expanded: a few lines of YAML can name billions of them. */
export const CONFIG_VALUES_MAX = 50_000;

/** Nesting of a configuration; ours needs six levels. The parser behind it recurses, so this is checked before it. */
export const CONFIG_DEPTH_MAX = 32;

/** Complaints shown about one configuration; the rest are counted. */
export const CONFIG_ISSUES_MAX = 200;

/** A file named by `${file:…}`: passwords and tokens are short. */
export const SECRET_FILE_MAX_BYTES = 64 * 1024;

/** Targets of SRV records that are looked up: two questions each. */
export const DNS_TARGETS_MAX = 64;

/** Addresses of one name and family: a service has a handful, and a stranger's answer some thousands. */
export const DNS_ADDRESSES_MAX = 64;

/** Names that the system looks up at once: each takes a thread of Node's four for as long as its DNS is silent. */
export const LOOKUPS_MAX = 2;

/** Who may listen to events at once: consoles and log collectors; the rest of the admin connections stays free. */
export const ADMIN_STREAMS_MAX = 16;

/** What may wait for one of them: an event takes some 300 bytes. */
export const ADMIN_STREAM_MAX_BYTES = 256 * 1024;

/** Sessions told in one answer of the API: each takes some 350 bytes of JSON. */
export const SESSIONS_LISTED_MAX = 10_000;

/** Assumptions in one question to `explain`: a backend has a handful of servers. */
export const ADMIN_ASSUMPTIONS_MAX = 32;

/** The state file: a backend takes some 400 bytes, and one of MySQL with a history in tatters a few MiB. */
export const STATE_FILE_MAX_BYTES = 64 * 1024 * 1024;

/** An answer of the admin API to a command: the state of 1,000 backends takes some 3 MiB. */
export const ADMIN_ANSWER_MAX_BYTES = 32 * 1024 * 1024;

/** Cancel keys that a worker asks the others about at the same time: strangers can make up any number of them. */
export const KEY_QUESTIONS_MAX = 256;

/** What is kept of what one step of a runbook writes, the end of it: errors come last, and incidents are kept in memory. */
export const STEP_OUTPUT_MAX_BYTES = 8 * 1024;

/** What is read of an answer to an HTTP step: what is looked for in it stands early. */
export const STEP_ANSWER_MAX_BYTES = 64 * 1024;
