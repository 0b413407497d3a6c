// Serves folders to a browser.

import { createServer } from 'node:http';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { extname, join, normalize } from 'node:path';

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.css': 'text/css',
  '.toml': 'text/plain',
};

/** A server of `routes`: prefixes of paths and the folders or files behind them. */
export async function serve(routes) {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    const [prefix, target] =
      Object.entries(routes).find(([start]) => path === start || path.startsWith(start.endsWith('/') ? start : `${start}/`)) ?? [];
    const file = prefix === undefined ? undefined : path === prefix ? target : join(target, normalize(`/${path.slice(prefix.length)}`));
    if (file === undefined || file.includes('..') || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(readFileSync(file));
  });
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
