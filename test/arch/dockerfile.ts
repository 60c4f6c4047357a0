// Reads a Dockerfile into stages and replays a stage in a directory: COPY copies, RUN runs, with WORKDIR as the
// current directory. Knows the few instructions ours uses and refuses any other, so that nothing goes unseen.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';

interface Instruction {
  readonly keyword: string;
  readonly rest: string;
}

export interface Stage {
  readonly image: string;
  readonly name: string | null;
  readonly instructions: readonly Instruction[];
}

const known = 'FROM WORKDIR COPY RUN ENV USER EXPOSE HEALTHCHECK STOPSIGNAL ENTRYPOINT CMD'.split(' ');

export function parseDockerfile(text: string): Stage[] {
  const lines = text
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .filter(line => line.trim() !== '' && !line.startsWith('#'));
  const stages: { image: string; name: string | null; instructions: Instruction[] }[] = [];
  for (const line of lines) {
    const [, keyword = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    if (!known.includes(keyword)) throw new Error(`this reader does not know the instruction: ${line}`);
    if (keyword === 'FROM') {
      const [image = '', , name = null] = rest.split(/\s+/);
      stages.push({ image, name, instructions: [] });
    } else if (stages.length === 0) {
      throw new Error(`an instruction before the first FROM: ${line}`);
    } else {
      stages.at(-1)?.instructions.push({ keyword, rest });
    }
  }
  return stages;
}

export const instructionsOf = (stage: Stage, keyword: string): string[] =>
  stage.instructions.filter(instruction => instruction.keyword === keyword).map(({ rest }) => rest);

/** What a COPY takes: paths and where to; `from` is a stage, or null for the build context. */
export function readCopy(rest: string): { from: string | null; sources: string[]; target: string } {
  const words = rest.split(/\s+/);
  let from: string | null = null;
  while (words[0]?.startsWith('--') === true) {
    const [, name, value = null] = /^--(from|chown)=(.+)$/.exec(words[0]) ?? [];
    if (name === undefined) throw new Error(`this reader does not know ${words[0]}`);
    // Whose the files are is up to the image: a replay runs as whoever runs it.
    if (name === 'from') from = value;
    words.shift();
  }
  const target = words.pop();
  if (target === undefined || words.length === 0) throw new Error(`COPY needs sources and a target: ${rest}`);
  return { from, sources: words, target };
}

export interface ReplayOptions {
  /** The build context. */
  readonly context: string;
  /** Where each stage finds its file system, by name. */
  readonly rootOf: (stage: string) => string;
  /** Called for each RUN; returns true when it did the step's work in another way. */
  readonly instead?: (command: string, directory: string) => boolean;
}

/** Does what a stage's COPY and RUN say, below `root`; returns the working directory there. */
export function replayStage(stage: Stage, root: string, options: ReplayOptions): string {
  let directory = root;
  for (const { keyword, rest } of stage.instructions) {
    if (keyword === 'WORKDIR') {
      directory = join(root, rest);
      mkdirSync(directory, { recursive: true });
    } else if (keyword === 'COPY') {
      const { from, sources, target } = readCopy(rest);
      const base = from === null ? options.context : options.rootOf(from);
      for (const source of sources) {
        const destination = target.endsWith('/')
          ? join(directory, target, basename(source))
          : join(directory, target);
        cpSync(join(base, source), destination, { recursive: true, verbatimSymlinks: true });
      }
    } else if (keyword === 'RUN' && options.instead?.(rest, directory) !== true) {
      const { status, stdout, stderr } = spawnSync('sh', ['-c', rest], { cwd: directory, encoding: 'utf8' });
      if (status !== 0) throw new Error(`RUN ${rest}\nended with ${String(status)}\n${stdout}${stderr}`);
    }
  }
  return directory;
}
