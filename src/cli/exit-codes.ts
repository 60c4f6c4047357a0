// What the shell gets back. Every command returns one of these; main.ts hands it on.
// Part of the contract: scripts depend on the numbers.

export const exitCodes = {
  /** Done, or the answer is yes. */
  done: 0,
  /** The answer is no: an invalid config, a server that can't be probed, a port that is taken. */
  no: 1,
  /** The command line wasn't understood. */
  usage: 2,
  /** Pointsman itself failed. */
  internal: 70,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];
