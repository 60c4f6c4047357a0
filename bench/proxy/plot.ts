// The picture of RESULTS.md: one bar for each target, its length the ratio to the reference.
// Pure: verdicts in, SVG out. Called by results.ts.

import { type Verdict } from './targets.ts';

const WIDTH = 820;
const LEFT = 330;
const RIGHT = 120;
const TOP = 46;
const ROW = 30;
const BAR = 16;
/** The right end of the scale; a longer bar ends there, its label tells. */
const MOST = 2.5;
const LEAST_SCALE = 1.5;

const colours = {
  reached: '#2e7d4f',
  missed: '#c2571a',
  line: '#57606a',
  text: '#1f2328',
  target: '#0b5cad',
};

export function plot(verdicts: readonly Verdict[], titles: { subject: string; reference: string }): string {
  const drawn = verdicts.filter(({ ratio }) => !Number.isNaN(ratio));
  const most = Math.min(
    MOST,
    Math.max(LEAST_SCALE, ...drawn.flatMap(({ ratio, target }) => [ratio, target.limit])),
  );
  const x = (ratio: number): number =>
    round(LEFT + (Math.min(Math.max(0, ratio), most) / most) * (WIDTH - LEFT - RIGHT));
  const height = TOP + drawn.length * ROW + 56;
  const bottom = TOP + drawn.length * ROW;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="${escape(`${titles.subject} as a ratio to ${titles.reference}`)}">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="16" y="24" font-size="15" font-weight="600" fill="${colours.text}">${escape(`${titles.subject} ÷ ${titles.reference}, medians of one run`)}</text>`,
    ...drawn.flatMap((verdict, index) => bar(verdict, TOP + index * ROW, x)),
    `<line x1="${x(1)}" y1="${TOP - 6}" x2="${x(1)}" y2="${bottom}" stroke="${colours.line}"/>`,
    `<text x="${x(1)}" y="${bottom + 16}" text-anchor="middle" fill="${colours.line}">1.00</text>`,
    `<text x="16" y="${bottom + 40}" fill="${colours.text}"><tspan fill="${colours.reached}">■</tspan> reached <tspan fill="${colours.missed}">■</tspan> not reached <tspan fill="${colours.target}">┃</tspan> target (≥: more is better, ≤: less is better)</text>`,
    '</svg>',
    '',
  ].join('\n');
}

function bar({ target, ratio, reached }: Verdict, y: number, x: (ratio: number) => number): string[] {
  const colour = reached === true ? colours.reached : colours.missed;
  const middle = y + BAR - 4;
  const limit = x(target.limit);
  const label = round(Math.max(x(ratio), limit) + 8);
  return [
    `<text x="${LEFT - 10}" y="${middle}" text-anchor="end" fill="${colours.text}">${escape(target.title)}</text>`,
    `<rect x="${LEFT}" y="${y}" width="${round(x(ratio) - LEFT)}" height="${BAR}" fill="${colour}"/>`,
    `<line x1="${limit}" y1="${y - 4}" x2="${limit}" y2="${y + BAR + 4}" stroke="${colours.target}" stroke-width="2"/>`,
    `<text x="${label}" y="${middle}" fill="${colours.text}">${ratio.toFixed(2)} (${target.compare} ${target.limit.toFixed(2)})</text>`,
  ];
}

const round = (value: number): number => Math.round(value * 10) / 10;

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
