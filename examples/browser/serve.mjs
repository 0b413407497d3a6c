// Serves the page, and the installed package to it: npm install && npm start.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('.', import.meta.url));
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm' };

const server = createServer(async (request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
  const file = join(folder, path === '/' ? 'index.html' : path);
  try {
    if (!file.startsWith(folder) || types[extname(file)] === undefined) throw new Error('not for pages');
    response.writeHead(200, { 'content-type': types[extname(file)] }).end(await readFile(file));
  } catch {
    response.writeHead(404).end('not found');
  }
});
server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
