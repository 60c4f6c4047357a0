#!/usr/bin/env node
// The bin entry: arguments in, exit code out.
// No logic: cli/cli.ts knows the commands.

import { main } from './cli/cli.ts';

process.exitCode = await main(process.argv.slice(2));
