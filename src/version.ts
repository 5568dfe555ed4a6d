/** What this package is. This file and the built ones are one folder below its root. */
import { createRequire } from 'node:module';

export const packageFolder = new URL('../', import.meta.url);

/** The package's version. */
export const { version } = createRequire(import.meta.url)('../package.json') as { readonly version: string };
