// The example page in Chromium: a disturbed service opens the circuit, a good one closes it, and both are drawn.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { chromium } from './kit/chromium.mjs';
import { packageFolder } from './kit/inner.mjs';
import { root } from './kit/load.mjs';
import { serve } from './kit/serve.mjs';

const colours = () => {
  const canvas = document.getElementById('chart');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let place = 0; place < data.length; place += 4) if (data[place + 3] > 200) seen.add(`${data[place]},${data[place + 1]},${data[place + 2]}`);
  return seen.size;
};

test('the page draws a circuit that opens, probes and closes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'softfuse-page-'));
  cpSync(join(root, 'examples/browser'), folder, { recursive: true, filter: (path) => !path.includes('node_modules') });
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(packageFolder, join(folder, 'node_modules/softfuse'));
  const server = await serve({ '/': folder });
  const browser = await chromium();
  try {
    const page = await browser.newPage();
    await page.setViewport({ width: 1180, height: 940 });
    const problems = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    await page.goto(`${server.origin}/index.html`);
    const text = (id) => page.$eval(`#${id}`, (element) => element.textContent);
    const until = (id, value) =>
      page.waitForFunction((where, what) => document.getElementById(where).textContent === what, { timeout: 60_000 }, id, value);
    await page.waitForFunction('Number(document.getElementById("calls").textContent) > 40', { timeout: 60_000 });
    assert.equal(await text('state'), 'closed');
    const healthy = await page.evaluate(colours);
    assert.ok(healthy > 10, `${healthy} colours`);
    await page.click('#disturb');
    await until('state', 'open');
    await page.waitForFunction('Number(document.getElementById("refused").textContent) > 5', { timeout: 60_000 });
    await until('state', 'closed');
    assert.match(await text('events'), /closed → open: the mean quality of 20 scores is .*open → half-open.*|half-open → closed/s);
    assert.ok(Number(await text('trips')) >= 1);
    if (process.env.SOFTFUSE_SCREENSHOT !== undefined) await page.screenshot({ path: process.env.SOFTFUSE_SCREENSHOT });
    await page.$eval('#policy', (area) => {
      area.value = 'trip_on = { quality_belw = 0.6 }';
    });
    await page.click('#apply');
    assert.match(await text('problems'), /quality_belw.*did you mean `quality_below`/s);
    if (process.env.SOFTFUSE_SCREENSHOT !== undefined) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
      await page.setViewport({ width: 420, height: 900 });
      await page.screenshot({ path: process.env.SOFTFUSE_SCREENSHOT.replace('.png', '-dark.png') });
    }
    await page.click('#trip');
    await until('state', 'open');
    await page.click('#reset');
    await until('state', 'closed');
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
    server.close();
  }
});
