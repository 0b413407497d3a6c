// The portable tests in a program of Bun or Deno: by what the test has written for it.

import * as softfuse from 'softfuse';
import * as lease from '../../node_modules/softfuse/dist/lease.js';
import data from './data.mjs';
import { runAll } from './run.mjs';

const vectors = await runAll(softfuse, lease, data, true);
console.log(`ran ${vectors} vectors`);
