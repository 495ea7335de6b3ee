// Looks at the documentation's site as a person would: node tests/site.mjs FOLDER. Started by crates/tandem/tests/docs/site.rs.
// It opens from the disk, its search finds, its navigation leads on, and nothing is asked of the network.
import assert from 'node:assert/strict';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const home = pathToFileURL(path.resolve(process.argv[2])).href;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  // Chromium's sandbox refuses to work for root, which is who runs tests in containers.
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
});
const page = await browser.newPage();
page.setDefaultTimeout(10_000);
const complaints = [];
page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
page.on('request', (request) => {
  if (!/^(file|data|blob):/.test(request.url())) complaints.push(`a request left the machine: ${request.url()}`);
});

await page.goto(`${home}/index.html`);
assert.equal(await page.locator('main h1').first().innerText(), 'Tandem');
await page.locator('nav a', { hasText: 'First steps' }).first().click();
assert.equal(await page.locator('main h1').first().innerText(), 'First steps');

await page.goto(`${home}/docs/first-steps.html?search=throttled`);
const found = page.locator('#mdbook-searchresults a', { hasText: 'Latency anatomy' }).first();
await found.waitFor();
await found.click();
await page.waitForURL(/anatomy\.html/);

assert.deepEqual(complaints, []);
await browser.close();
