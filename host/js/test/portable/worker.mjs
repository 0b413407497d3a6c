// The portable tests in a worker of workerd.

import * as softfuse from '../../node_modules/softfuse/dist/entry-workerd.js';
import * as lease from '../../node_modules/softfuse/dist/lease.js';
import data from './data.mjs';
import { runAll } from './run.mjs';

export default {
  async fetch() {
    try {
      return new Response(`ran ${await runAll(softfuse, lease, data, true)} vectors`);
    } catch (error) {
      return new Response(String(error.stack), { status: 500 });
    }
  },
};
