// The list of traces: what is in it, filters, plots, the keyboard.
import assert from 'node:assert/strict';
import { accessible, ask, count, fits, home, page, picture } from './harness.mjs';

const ROWS = 'table.traces tbody tr';
const rows = page.locator(ROWS);

export const empty = {
  async 'an empty store says what to do, in every view'() {
    await page.goto(home);
    await page.getByRole('heading', { name: 'No traces yet' }).waitFor();
    assert.match(await page.locator('pre').innerText(), /tandem run -- \.\/app/);
    await picture('empty');
    await accessible('the empty list');
    await page.keyboard.press('2');
    await page.getByRole('heading', { name: 'No requests yet' }).waitFor();
    await page.keyboard.press('3');
    await page.getByRole('heading', { name: 'No services yet' }).waitFor();
    await page.keyboard.press('1');
  },

  async 'traces appear by themselves'() {
    await ask('fill');
    await count(ROWS, 36);
    assert.equal(await rows.first().locator('.root a').innerText(), 'GET /products');
  },
};

export const list = {
  async 'filters narrow the list and are in the address'() {
    const facets = page.getByRole('complementary', { name: 'Facets' });
    await facets.getByRole('button', { name: /^inventory/ }).click();
    await count(ROWS, 1);
    assert.equal(new URL(page.url()).search, '?service=inventory');
    await page.reload();
    await count(ROWS, 1);
    await facets.getByRole('button', { name: /^inventory/, pressed: true }).click();
    await page.goto(`${home}?route=CHECKOUT`);
    await count(ROWS, 2);
    await facets.getByRole('button', { name: /with errors/ }).click();
    await count(ROWS, 1);
    assert.equal(new URL(page.url()).search, '?route=CHECKOUT&errors=1');
    await facets.getByRole('button', { name: /with errors/ }).click();
    await page.getByTitle('Take it back').click();
    await count(ROWS, 36);
  },

  async 'a query is completed while it is typed, asked, and marked where it is wrong'() {
    await page.keyboard.press('/');
    const query = page.getByRole('combobox', { name: 'Query' });
    await query.pressSequentially('servi');
    const offered = page.getByRole('listbox');
    await offered.getByRole('option', { name: /^service/ }).first().waitFor();
    await page.keyboard.press('Tab');
    await page.waitForFunction(() => document.querySelector('input[name=query]').value.startsWith('service'));
    await query.fill('service=orders status=error');
    await page.keyboard.press('Enter');
    await count(ROWS, 1);
    assert.equal(new URLSearchParams(new URL(page.url()).search).get('q'), 'service=orders status=error');
    await query.fill('service=orders duration>200');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('the unit is missing').waitFor();
    await picture('query-wrong');
    await query.fill('');
    await count(ROWS, 36);
    await page.keyboard.press('Escape');
  },

  async 'facets count what fits'() {
    const products = page.getByRole('button', { name: 'GET /products 30' });
    await products.waitFor();
    await products.click();
    await count(ROWS, 30);
    await products.click();
    await count(ROWS, 36);
    const declined = page.getByRole('button', { name: '402 1' });
    await declined.click();
    await count(ROWS, 1);
    assert.equal(new URLSearchParams(new URL(page.url()).search).get('attribute'), 'http.response.status_code=402');
    await page.keyboard.press('x');
    await count(ROWS, 36);
  },

  async 'a stretch of durations, and one of time, is chosen by dragging'() {
    const drag = async (plot, from, to) => {
      const box = await page.locator('figure', { hasText: plot }).locator('.area').boundingBox();
      await page.mouse.move(box.x + box.width * from, box.y + 30);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * to, box.y + 30, { steps: 4 });
      await page.mouse.up();
    };
    await drag('Durations', 0.8, 1);
    await page.waitForFunction(() => /min_duration=\d+ns&max_duration=\d+ns/.test(location.search));
    await page.waitForFunction((selector) => { const n = document.querySelectorAll(selector).length; return n > 0 && n < 36; }, ROWS);
    await page.keyboard.press('x');
    await count(ROWS, 36);
    await drag('Traces', 0, 0.3);
    await page.waitForFunction(() => /from=\d+&to=\d+/.test(location.search));
    await page.waitForFunction((selector) => document.querySelectorAll(selector).length < 36, ROWS);
    await page.keyboard.press('x');
    await count(ROWS, 36);
  },

  async 'a point of the latency plot opens its trace'() {
    await page.locator('figure', { hasText: 'Latency' }).locator('a').first().click({ force: true });
    await page.waitForURL(/\/trace\//);
    await page.keyboard.press('Escape');
    await count(ROWS, 36);
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
    await count(ROWS, 36);
  },

  async 'new traces come in while it is live, and wait while it is paused'() {
    await page.getByRole('button', { name: 'Live' }).click();
    await page.getByRole('button', { name: 'Paused' }).waitFor();
    await ask('add');
    await page.waitForTimeout(2500);
    assert.equal(await rows.count(), 36);
    await page.getByRole('button', { name: 'Paused' }).click();
    await count(ROWS, 37);
    assert.equal(await rows.first().locator('.root a').innerText(), 'GET /fresh');
  },

  async 'the keyboard chooses and opens a trace, and leads back to the same list'() {
    await page.goto(`${home}?service=inventory`);
    await count(ROWS, 1);
    await page.keyboard.press('ArrowDown');
    await page.locator('tr.selected').waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'POST /checkout' }).waitFor();
    await page.keyboard.press('Escape');
    await count(ROWS, 1);
    assert.equal(new URL(page.url()).search, '?service=inventory');
    await page.goBack();
    await page.getByRole('heading', { name: 'POST /checkout' }).waitFor();
  },

  async 'a sheet lists the keys'() {
    await page.keyboard.press('?');
    const sheet = page.getByRole('dialog');
    await sheet.getByText('next on the critical path').waitFor();
    await picture('keys');
    await page.keyboard.press('?');
    await sheet.waitFor({ state: 'detached' });
  },
};

export const narrow = {
  async 'it is readable at 1024 pixels, on wide screens and in the dark'() {
    await page.goto(home);
    await rows.first().waitFor();
    await page.setViewportSize({ width: 1024, height: 700 });
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor), 'rgb(17, 20, 24)');
    await fits();
    await picture('list-dark-1024');
    await page.setViewportSize({ width: 2560, height: 1200 });
    await fits();
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 1280, height: 800 });
  },
};
