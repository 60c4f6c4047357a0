// The version of this build, for --version, build_info and the API.
// Read from package.json, which stands beside dist/ in every installation.

import { readFileSync } from 'node:fs';

const manifest = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export const version = manifest.version;
