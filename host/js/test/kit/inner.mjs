// The installed package's inner modules, which its users don't see.

import { dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(import.meta.url);

/** The installed package's folder. */
export const packageFolder = dirname(require.resolve('softfuse/package.json'));

/** A module of its dist folder, as in `component.js`. */
export const inner = (path) => import(pathToFileURL(join(packageFolder, 'dist', path)).href);
