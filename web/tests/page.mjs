// Looks at the page as a person would. Started by crates/ui/tests/browser.rs, which owns the server: a line on standard
// output asks it for something (`fill`, `add`, `stop`), a line on standard input says that it is done.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const home = process.argv[2];
const pictures = process.env.TANDEM_SCREENSHOTS;
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const HOSTILE = `<img src=x onerror="document.title='broken into'"> \u001b[31mred`;

async function ask(what) {
  console.log(what);
  await answers.next();
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  // Chromium's sandbox refuses to work for root, which is who runs tests in containers.
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', timezoneId: 'UTC' });
page.setDefaultTimeout(10_000);

const complaints = [];
let agentGone = false;
page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
page.on('console', (message) => {
  const expected = agentGone || message.text().includes('status of 400');
  if (['error', 'warning'].includes(message.type()) && !expected) complaints.push(`console: ${message.text()}`);
});
page.on('request', (request) => {
  if (!request.url().startsWith(home)) complaints.push(`a request left the machine: ${request.url()}`);
});

async function picture(name) {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}/${name}.png` });
}

const rows = page.locator('table.traces tbody tr');
const spans = page.locator('.row');
const span = (name) => page.locator('.row', { has: page.getByText(name, { exact: true }) });
const count = async (locator, expected, what) => {
  await page.waitForFunction(([selector, n]) => document.querySelectorAll(selector).length === n, [what, expected]);
  assert.equal(await locator.count(), expected);
};
const fits = async () =>
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page is wider than the window');

const steps = {
  async 'an empty store says what to do'() {
    await page.goto(home);
    await page.getByRole('heading', { name: 'No traces yet' }).waitFor();
    assert.match(await page.locator('pre').innerText(), /tandem run -- \.\/app/);
    await picture('empty');
  },

  async 'traces appear by themselves'() {
    await ask('fill');
    await count(rows, 37, 'table.traces tbody tr');
    assert.equal(await rows.first().locator('.root a').innerText(), 'step 0');
    await picture('list');
  },

  async 'filters narrow the list and are in the address'() {
    await page.getByLabel('Service').selectOption('inventory');
    await count(rows, 1, 'table.traces tbody tr');
    assert.equal(new URL(page.url()).search, '?service=inventory');
    await page.reload();
    await count(rows, 1, 'table.traces tbody tr');
    assert.equal(await page.getByLabel('Service').inputValue(), 'inventory');
    await page.getByLabel('Service').selectOption('');
    await page.getByLabel('Route or name').fill('CHECKOUT');
    await count(rows, 2, 'table.traces tbody tr');
    await page.getByLabel('Errors only').check();
    await count(rows, 1, 'table.traces tbody tr');
    assert.equal(new URL(page.url()).search, '?route=CHECKOUT&errors=1');
    await page.getByLabel('Errors only').uncheck();
    await page.getByLabel('Attribute').fill('http.response.status_code=402');
    await page.keyboard.press('Enter');
    await count(rows, 1, 'table.traces tbody tr');
  },

  async 'a filter that cannot be read is explained; one that fits nothing can be taken back'() {
    await page.getByLabel('At least').fill('soon');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('min_duration: soon is not a duration').waitFor();
    await page.getByLabel('At least').fill('1h');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'No trace fits' }).waitFor();
    await picture('nothing-fits');
    await page.getByRole('button', { name: 'Show all traces' }).click();
    await count(rows, 37, 'table.traces tbody tr');
  },

  async 'new traces come in while it is live, and wait while it is paused'() {
    await page.getByRole('button', { name: 'Live' }).click();
    await page.getByRole('button', { name: 'Paused' }).waitFor();
    await ask('add');
    await page.waitForTimeout(2500);
    assert.equal(await rows.count(), 37);
    await page.getByRole('button', { name: 'Paused' }).click();
    await count(rows, 38, 'table.traces tbody tr');
    assert.equal(await rows.first().locator('.root a').innerText(), 'GET /fresh');
  },

  async 'the keyboard chooses and opens a trace, and leads back to the same list'() {
    await page.getByLabel('Service').selectOption('inventory');
    await count(rows, 1, 'table.traces tbody tr');
    await page.getByLabel('Service').blur();
    await page.keyboard.press('ArrowDown');
    await page.locator('tr.selected').waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'POST /checkout' }).waitFor();
    await page.keyboard.press('Escape');
    await count(rows, 1, 'table.traces tbody tr');
    assert.equal(new URL(page.url()).search, '?service=inventory');
    await page.goBack();
    await page.getByRole('heading', { name: 'POST /checkout' }).waitFor();
  },

  async 'bars show the anatomy in proportion'() {
    await count(spans, 9, '.row');
    const gateway = page.locator('[data-span="5a00000000000101"]');
    const parts = await gateway.locator('.segment').evaluateAll((all) => all.map((one) => one.dataset.part));
    assert.deepEqual(parts, ['on_cpu', 'run_queue', 'go_runnable', 'go_network', 'go_sync']);
    const widths = await gateway.evaluate((row) => {
      const width = (selector) => row.querySelector(selector).getBoundingClientRect().width;
      return [width('[data-part=go_network]'), width('.bar-of'), width('.time')];
    });
    assert.ok(Math.abs(widths[0] / (widths[1] - 4) - 171.3 / 182.4) < 0.02, `go_network takes ${widths}`);
    assert.ok(Math.abs(widths[1] - widths[2]) < 1, 'the root fills the time line');
    const insert = await page.locator('[data-span="5a00000000000107"]').evaluate((row) => {
      const time = row.querySelector('.time').getBoundingClientRect();
      const bar = row.querySelector('.bar-of').getBoundingClientRect();
      return [(bar.left - time.left) / time.width, bar.width / time.width];
    });
    assert.ok(Math.abs(insert[0] - 104 / 182.4) < 0.005 && Math.abs(insert[1] - 42.8 / 182.4) < 0.005, `INSERT lies at ${insert}`);
    const colours = await page.locator('.segment').evaluateAll((all) => all.map((one) => getComputedStyle(one).backgroundColor));
    assert.ok(colours.every((colour) => colour !== 'rgba(0, 0, 0, 0)'), 'a segment has no colour');
    assert.match(await page.locator('footer').innerText(), /Go waits/);
    await picture('trace');
  },

  async 'a selected span tells all, and is in the address'() {
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    const details = page.getByRole('complementary');
    await details.getByRole('heading', { name: 'shop.Orders/Place' }).waitFor();
    assert.match(page.url(), /span=5a00000000000103/);
    const shares = await details.locator('.anatomy tr').evaluateAll((all) => all.map((row) => row.innerText.split('\t').map((text) => text.trim())));
    assert.deepEqual(shares[0], ['go_network', '', '92.0 ms', '55 %']);
    assert.equal(shares.length, 5);
    await picture('trace-selected');
    await page.reload();
    await details.getByRole('heading', { name: 'shop.Orders/Place' }).waitFor();
    await page.locator('[data-span="5a00000000000106"]').click();
    assert.match(await details.innerText(), /SELECT quantity FROM stock WHERE sku = \?/);
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Enter');
    await count(spans, 8, '.row');
    await page.keyboard.press('ArrowRight');
    await count(spans, 9, '.row');
    await page.keyboard.press('Escape');
    await details.waitFor({ state: 'detached' });
  },

  async 'it is readable at 1024 pixels and in the dark'() {
    await page.setViewportSize({ width: 1024, height: 700 });
    await page.locator('[data-span="5a00000000000105"]').click();
    await fits();
    await picture('trace-1024');
    await page.emulateMedia({ colorScheme: 'dark' });
    const dark = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    assert.equal(dark, 'rgb(20, 23, 27)');
    await picture('trace-dark');
    await page.goto(home);
    await rows.first().waitFor();
    await fits();
    await picture('list-dark-1024');
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 1280, height: 800 });
  },

  async 'errors, missing and unfinished spans are marked'() {
    await page.goto(`${home}trace/02`);
    await page.locator('.row.failed').click();
    await page.getByText('card ending in 0000 was declined by the bank').first().waitFor();
    await picture('trace-error');
    await page.goto(`${home}trace/04`);
    await page.getByText('missing span 5a00000000000409').waitFor();
    await picture('trace-missing');
    await page.goto(`${home}trace/05`);
    await page.getByText('unfinished').waitFor();
  },

  async 'text from spans stays text'() {
    await page.goto(`${home}trace/03`);
    await spans.first().click();
    assert.equal(await page.locator('.label').first().textContent(), HOSTILE);
    assert.equal(await page.getByRole('complementary').getByRole('heading').first().textContent(), HOSTILE);
    assert.equal(await page.locator('.attributes td').first().textContent(), HOSTILE);
    assert.equal(await page.locator('img:not([src="/icon.svg"])').count(), 0);
    assert.ok((await page.title()).startsWith('<img'), 'the title is the name, as text');
    await picture('trace-hostile');
    await page.goto(home);
    await page.locator('.root a', { hasText: '<img' }).waitFor();
    assert.equal(await page.locator('img:not([src="/icon.svg"])').count(), 0);
  },

  async 'a large trace draws only what is in sight'() {
    await page.goto(`${home}trace/5a`);
    await page.getByText('step 0', { exact: true }).last().waitFor();
    const drawn = await spans.count();
    assert.ok(drawn > 20 && drawn < 80, `${drawn} rows are drawn`);
    await page.keyboard.press('End');
    await page.locator('.row.selected').waitFor();
    assert.equal(await page.locator('.rows').evaluate((all) => Math.round(all.scrollHeight / 27)), 3000);
    await picture('trace-large');
  },

  async 'colours of groups and neighbours can be told apart without red or green'() {
    const groups = [
      ['on_cpu', 'cgo', 'minor_fault'],
      ['run_queue', 'throttled'],
      ['go_runnable', 'go_stopped'],
      ['go_network', 'network_unread', 'go_send', 'go_channel', 'go_select', 'go_sync', 'go_sleep', 'go_gc', 'go_coroutine', 'go_other'],
      ['blocked_file', 'blocked_network', 'blocked_futex', 'blocked_lock', 'blocked_sleep', 'blocked_other', 'block_io', 'major_fault'],
    ];
    const parts = groups.flat();
    const groupOf = (part) => groups.findIndex((group) => group.includes(part));
    for (const scheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme: scheme });
      const colours = await page.evaluate((parts) => parts.map((part) => {
        const probe = document.body.appendChild(document.createElement('i'));
        probe.className = `part-${part}`;
        const [r, g, b] = getComputedStyle(probe).backgroundColor.match(/[\d.]+/g).map(Number);
        probe.remove();
        return [r, g, b];
      }), parts);
      for (const [vision, matrix] of Object.entries(VISIONS)) {
        const seen = colours.map((colour) => lab(simulate(colour, matrix)));
        for (let a = 0; a < seen.length; a++) {
          for (let b = a + 1; b < seen.length; b++) {
            const neighbours = b === a + 1;
            if (!neighbours && groupOf(parts[a]) === groupOf(parts[b])) continue;
            const distance = Math.hypot(...seen[a].map((value, axis) => value - seen[b][axis]));
            assert.ok(distance >= (neighbours ? 20 : 10), `${parts[a]} and ${parts[b]} look alike (${distance.toFixed(1)}) with ${vision}, ${scheme}`);
          }
        }
      }
    }
    await page.emulateMedia({ colorScheme: 'light' });
  },

  async 'an agent that is gone is said to be'() {
    await page.goto(home);
    await rows.first().waitFor();
    agentGone = true;
    await ask('stop');
    await page.getByRole('alert').getByText('The agent does not answer').waitFor();
    assert.ok((await rows.count()) > 0, 'what was there stays in sight');
    await picture('agent-gone');
  },
};

// Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
const VISIONS = {
  'full colour vision': [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protanopia: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deuteranopia: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
};

function simulate(colour, matrix) {
  const linear = colour.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return [0, 3, 6].map((row) => Math.min(1, Math.max(0, linear.reduce((sum, value, column) => sum + matrix[row + column] * value, 0))));
}

function lab([r, g, b]) {
  const xyz = [0.4124 * r + 0.3576 * g + 0.1805 * b, 0.2126 * r + 0.7152 * g + 0.0722 * b, 0.0193 * r + 0.1192 * g + 0.9505 * b];
  const [x, y, z] = xyz.map((value, axis) => value / [0.9505, 1, 1.089][axis]).map((t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116));
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

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
