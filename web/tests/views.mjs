// Routes, the map, health, comparing: over a quarter of an hour of a shop's traffic.
import assert from 'node:assert/strict';
import { accessible, ask, fits, home, page, picture } from './harness.mjs';

export const views = {
  async 'the list of a busy shop'() {
    await ask('traffic');
    await page.goto(`${home}?since=1h`);
    await page.locator('table.traces tbody tr').first().waitFor();
    await page.locator('figure').first().waitFor();
    await accessible('the list');
    await page.waitForTimeout(300);
    await picture('traces');
  },

  async 'a slow checkout says where its time went'() {
    await page.goto(`${home}?since=1h&route=POST+/checkout&min_duration=150ms`);
    await page.locator('.traces .root a').first().click();
    await page.getByRole('treegrid').getByText('stock.(*Shelf).Reserve').click();
    const details = page.getByRole('complementary', { name: 'Selected span' });
    await details.getByText('/src/shop/stock/shelf.go:88').waitFor();
    await details.getByText("waited long for the shelf's lock").waitFor();
    assert.ok((await page.locator('.row .log').count()) > 0, 'logs are in place');
    await picture('trace-selected');
    await page.locator('.row', { hasText: 'POST /charge' }).click();
    await details.getByText('seen on a socket').waitFor();
    await details.getByText('what the other end of the connection was sending').waitFor();
  },

  async 'a route shows where its time goes, and why the slow ones are slow'() {
    await page.goto(`${home}routes?since=1h&of=POST+/checkout&in=gateway`);
    await page.getByRole('heading', { name: 'POST /checkout' }).waitFor();
    await page.locator('.quantiles').getByText('p99').waitFor();
    await page.getByRole('row', { name: /stock\.\(\*Shelf\)\.Reserve/ }).waitFor();
    await fits();
    await accessible('the routes');
    await picture('routes');
    await page.keyboard.press('w');
    await page.getByRole('heading', { name: /Lock contention in inventory/ }).waitFor();
    await accessible('the diagnosis');
    await picture('routes-why');
    await page.keyboard.press('f');
    await page.getByRole('button', { name: 'net/http.(*conn).serve' }).waitFor();
    await page.getByRole('button', { name: 'Off CPU' }).click();
    await page.getByRole('button', { name: /database\/sql/ }).first().waitFor();
    await picture('routes-flame');
    await accessible('the flame graph');
  },

  async 'the map shows who calls whom, and what is inside'() {
    await page.goto(`${home}map?since=1h`);
    const node = (name) => page.locator('.node', { hasText: name });
    await node('gateway').waitFor();
    assert.match(await node('payments').innerText(), /observed/);
    assert.match(await node('inventory').innerText(), /woven/);
    assert.match(await node('postgresql shop').innerText(), /database/);
    assert.equal(await page.locator('.node', { hasText: 'payments.internal' }).count(), 0, 'what answers has its own name');
    await accessible('the map');
    await picture('map');
    await node('inventory').click();
    const details = page.getByRole('complementary', { name: 'Selected service' });
    await details.getByRole('button', { name: 'orders' }).waitFor();
    await details.getByRole('button', { name: /encoding\/json/ }).click();
    await details.getByText('/src/encoding/json/json.go').first().waitFor();
    await accessible('a service');
    await picture('map-service');
    assert.match(page.url(), /node=inventory/);
  },

  async 'the software is a picture, from service to package to function to source line'() {
    await page.goto(`${home}software?since=1h`);
    const shown = page.getByRole('group', { name: 'Time by service' });
    const cell = (name) => page.locator('.picture').getByRole('button', { name });
    await cell(/^inventory: .* mostly go_sync/).waitFor();
    const areas = await shown.locator('.cell:not(.inner)').evaluateAll((all) => all.map((one) => one.getBoundingClientRect().width * one.getBoundingClientRect().height));
    const shares = await page.locator('table.list tbody tr').evaluateAll((all) => all.map((row) => Number.parseInt(row.cells[4].innerText.replace('< ', ''), 10)));
    const whole = areas.reduce((sum, area) => sum + area, 0);
    areas.forEach((area, index) => assert.ok(Math.abs((area / whole) * 100 - shares[index]) < 2, `cell ${index} takes ${(area / whole) * 100} %, told ${shares[index]} %`));
    await fits();
    await accessible('the software');
    await picture('software');
    await cell(/^inventory:/).click();
    assert.match(page.url(), /service=inventory/);
    await cell(/^shop\/stock:/).waitFor();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.waitForURL(/package=shop%2Fstock/);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.getByRole('cell', { name: '/src/shop/stock/shelf.go:88' }).waitFor();
    await page.reload();
    await page.getByRole('navigation', { name: 'Where in the software' }).getByText('(*Shelf).Reserve').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await page.keyboard.press('b');
    await cell(/^encoding\/json:/).first().click();
    await page.getByRole('row', { name: /stringEncoder/ }).waitFor();
    await accessible('the software by stacks');
    await picture('software-stacks');
  },

  async 'health says what was lost, and what it costs'() {
    await page.goto(`${home}health`);
    await page.getByText('spans: ring full').waitFor();
    await page.locator('.card.alarm', { hasText: '7' }).waitFor();
    await page.getByText('990 of 1,000 requests').waitFor();
    await page.locator('.row', { hasText: 'recorded: shop /products' }).getByText('13 % of new traces').waitFor();
    await page.locator('.card', { hasText: 'of 1.0 GB' }).getByText(/^since \d/).waitFor();
    await page.getByRole('cell', { name: 'payments' }).waitFor();
    await page.getByText('2, the oldest for 4.20 s').waitFor();
    await page.getByText('mail.(*Renderer).Render is hot and has no span').waitFor();
    await page.getByRole('button', { name: 'Switch on' }).click();
    await page.getByRole('status').getByText('mail (process 9): shop/mail.(*Renderer).Render on').waitFor();
    await accessible('the health');
    await picture('health');
  },

  async 'two traces are compared'() {
    await page.goto(`${home}?since=1h&route=POST+/checkout&min_duration=150ms`);
    await page.locator('.traces .root a').first().waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('c');
    await page.getByText('compare with …').waitFor();
    await page.getByLabel('At least').fill('');
    await page.getByLabel('At most').fill('45ms');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !document.querySelector('tr.selected'));
    await page.locator('.traces .root a').first().waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('c');
    await page.getByRole('row', { name: /stock\.\(\*Shelf\)\.Reserve/ }).locator('.faster').waitFor();
    await page.keyboard.press('s');
    await page.getByRole('row', { name: /stock\.\(\*Shelf\)\.Reserve/ }).locator('.slower').waitFor();
    await accessible('a comparison');
    await picture('compare');
  },

  async 'two routes, two stretches of time and two builds are compared'() {
    await page.goto(`${home}compare`);
    await page.getByRole('heading', { name: 'Compare two of anything' }).waitFor();
    await page.getByRole('heading', { name: 'Two builds' }).waitFor();
    await page.getByRole('heading', { name: 'Two routes' }).waitFor();
    await accessible('what can be compared');
    await picture('compare-empty');
    await page.getByRole('button', { name: 'before · the last 5 minutes' }).click();
    await page.getByRole('row', { name: /POST \/checkout.*p95/ }).first().waitFor();
    assert.match(page.url(), /a_time=10m-5m&b_time=5m/);
    await picture('compare-times');
    await page.keyboard.press('a');
    await page.getByRole('button', { name: 'Only what has changed' }).waitFor();

    await page.goto(`${home}compare`);
    await page.getByRole('button', { name: 'gateway 1.8.2 · 1.9.0' }).click();
    await page.getByRole('row', { name: /POST \/checkout.*p95/ }).first().waitFor();
    await page.goto(`${home}compare`);
    await page.getByLabel('A: a query, or a trace’s id').fill('root="GET /products"');
    await page.keyboard.press('Enter');
    await page.getByLabel('B: a query, or a trace’s id').fill('root="POST /checkout"');
    await page.keyboard.press('Enter');
    await page.getByRole('row', { name: 'GET /products → POST /checkout gateway' }).waitFor();
    await accessible('two routes');
    await page.getByLabel('B: a query, or a trace’s id').fill('root="POST /chekout"');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'No trace fits B' }).waitFor();
    await page.getByLabel('B: a query, or a trace’s id').fill('duration>200');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('the unit is missing').waitFor();
  },
};
