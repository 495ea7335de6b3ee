// What the checks of the page share: a browser, a page that notes every complaint, and the other side of the pipe, which owns
// the server. Started by crates/ui/tests/browser.rs: a line on standard output asks it for something, a line on standard input
// says that it is done.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const home = process.argv[2];
const pictures = process.env.TANDEM_SCREENSHOTS;
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const axe = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');

/** Has the other side do something that only it can do. */
export async function ask(what) {
  console.log(what);
  await answers.next();
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  // Chromium's sandbox refuses to work for root, which is who runs tests in containers.
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', timezoneId: 'UTC', permissions: ['clipboard-read', 'clipboard-write'] });
export const page = await context.newPage();
page.setDefaultTimeout(15_000);

const complaints = [];
/** What the browser may complain of, now that the agent is gone or refuses. */
export const expected = { agentGone: false };
page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
page.on('console', (message) => {
  const known = expected.agentGone || message.text().includes('status of 400');
  if (['error', 'warning'].includes(message.type()) && !known) complaints.push(`console: ${message.text()}`);
});
page.on('request', (request) => {
  if (!request.url().startsWith(home)) complaints.push(`a request left the machine: ${request.url()}`);
});

export async function picture(name) {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}/${name}.png` });
}

/** Waits until there are so many. */
export async function count(selector, wanted) {
  await page.waitForFunction(([selector, n]) => document.querySelectorAll(selector).length === n, [selector, wanted]);
}

export async function fits() {
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page is wider than the window');
}

/** Names, roles, contrast, by axe, in both colour schemes. */
export async function accessible(what) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa'] }));
    const told = found.violations.map((one) => `${one.id}: ${one.help}\n    ${one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.any.map((why) => why.message).join('; ')}`).join('\n    ')}`);
    assert.deepEqual(told, [], `${what}, ${colorScheme}:\n  ${told.join('\n  ')}`);
  }
  await page.emulateMedia({ colorScheme: 'light' });
}

/** Runs the steps in their order, up to the first that fails. */
export async function run(steps) {
  let failed = false;
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
      assert.deepEqual(complaints.splice(0), []);
      console.log(`  ok  ${name}`);
    } catch (error) {
      failed = true;
      console.log(`  FAILED  ${name}\n${error.stack}`);
      await picture('failed');
      break;
    }
  }
  await browser.close();
  process.exit(failed ? 1 : 0);
}
