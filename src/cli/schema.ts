// `pointsman schema`: the JSON Schema of the configuration, for editors and pipelines.
// Made from config/schema.ts. Called by cli.ts.

import { configJsonSchema } from '../config/reference.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { out } from './output.ts';

export function schema(): ExitCode {
  out(JSON.stringify(configJsonSchema(), null, 2));
  return exitCodes.done;
}
