// One trace: the anatomy in its bars, the critical path, what is said of a span, copies, large traces, hostile text.
import assert from 'node:assert/strict';
import { accessible, ask, count, fits, home, page, picture } from './harness.mjs';

const HOSTILE = `<img src=x onerror="document.title='broken into'"> \u001b[31mred`;
const spans = page.locator('.row');
const details = page.getByRole('complementary', { name: 'Selected span' });
const clipboard = () => page.evaluate(() => navigator.clipboard.readText());

export const trace = {
  async 'bars show the anatomy in proportion, and the critical path below'() {
    await page.goto(`${home}trace/01`);
    await count('.row', 9);
    const gateway = page.locator('[data-span="5a00000000000101"]');
    const parts = await gateway.locator('.segment').evaluateAll((all) => all.map((one) => one.dataset.part));
    assert.deepEqual(parts, ['on_cpu', 'run_queue', 'go_runnable', 'go_network', 'go_sync']);
    const widths = await gateway.evaluate((row) => {
      const width = (selector) => row.querySelector(selector).getBoundingClientRect().width;
      return [width('[data-part=go_network]'), width('.bar-of'), width('.time')];
    });
    assert.ok(Math.abs(widths[0] / widths[1] - 171.3 / 182.4) < 0.02, `go_network takes ${widths}`);
    assert.ok(Math.abs(widths[1] - widths[2]) < 1, 'the root fills the time line');
    const insert = await page.locator('[data-span="5a00000000000107"]').evaluate((row) => {
      const time = row.querySelector('.time').getBoundingClientRect();
      const place = (selector) => {
        const box = row.querySelector(selector).getBoundingClientRect();
        return [(box.left - time.left) / time.width, box.width / time.width];
      };
      return { bar: place('.bar-of'), path: place('.path') };
    });
    for (const [left, width] of [insert.bar, insert.path]) {
      assert.ok(Math.abs(left - 104 / 182.4) < 0.005 && Math.abs(width - 42.8 / 182.4) < 0.005, `INSERT lies at ${left}, ${width}`);
    }
    const colours = await page.locator('.segment').evaluateAll((all) => all.map((one) => getComputedStyle(one).backgroundColor));
    assert.ok(colours.every((colour) => colour !== 'rgba(0, 0, 0, 0)'), 'a segment has no colour');
    assert.match(await page.locator('.legend').innerText(), /Go waits/);
    await picture('trace');
  },

  async 'a selected span tells all, and is in the address'() {
    for (let press = 0; press < 3; press++) await page.keyboard.press('ArrowDown');
    await details.getByRole('heading', { name: 'shop.Orders/Place' }).waitFor();
    assert.match(page.url(), /span=5a00000000000103/);
    const shares = await details.locator('.anatomy tr').evaluateAll((all) => all.map((row) => row.innerText.split('\t').map((text) => text.trim())));
    assert.deepEqual(shares[0], ['go_network', '', '92.0 ms', '55 %']);
    assert.equal(shares.length, 5);
    await details.getByText('woven into the program: pack grpc').waitFor();
    await details.getByText('exact context, carried by the program').waitFor();
    await details.getByText('Resource').waitFor();
    await accessible('a trace with a selected span');
    await page.reload();
    await details.getByRole('heading', { name: 'shop.Orders/Place' }).waitFor();
    await page.locator('[data-span="5a00000000000106"]').click();
    await details.getByText('SELECT quantity FROM stock WHERE sku = ?').waitFor();
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Enter');
    await count('.row', 8);
    await page.keyboard.press('ArrowRight');
    await count('.row', 9);
    await page.keyboard.press('Escape');
    await details.waitFor({ state: 'detached' });
  },

  async 'spans are found, time is chosen, the path is walked by keys'() {
    await page.keyboard.press('/');
    await page.keyboard.type('stock');
    await count('.row.found', 1);
    await page.keyboard.press('Escape');
    await page.keyboard.press('n');
    await details.getByRole('heading', { name: 'SELECT stock' }).waitFor();
    await page.keyboard.press('z');
    await page.getByText('show all time').waitFor();
    const fills = await page.locator('[data-span="5a00000000000106"]').evaluate((row) => {
      const width = (selector) => row.querySelector(selector).getBoundingClientRect().width;
      return width('.bar-of') / width('.time');
    });
    assert.ok(Math.abs(fills - 1) < 0.01, `the span takes ${fills} of the time line`);
    await page.keyboard.press('0');
    await page.keyboard.press('.');
    await details.getByRole('heading', { name: 'INSERT orders' }).waitFor();
    await page.keyboard.press('Escape');
  },

  async 'a trace is copied as OTLP JSON, as text and as a curl command'() {
    const copy = async (what, said = what) => {
      await page.keyboard.press('y');
      await page.getByRole('menuitem', { name: what }).click();
      await page.getByRole('status').getByText(`Copied: ${said}`).waitFor();
      return clipboard();
    };
    const otlp = JSON.parse(await copy('OTLP JSON'));
    const all = otlp.resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans));
    assert.equal(all.length, 9);
    const root = all.find((span) => !span.parentSpanId);
    assert.deepEqual([root.traceState, root.flags], ['vendor=t61rcWkgMzE,ot=th:8', 0x101]);
    const [link] = all.flatMap((span) => span.links);
    assert.deepEqual([link.traceState, link.flags], ['vendor=t61rcWkgMzE', 0x101]);
    assert.deepEqual(link.attributes, [{ key: 'messaging.batch.index', value: { intValue: '2' } }]);
    assert.equal(BigInt(root.endTimeUnixNano) - BigInt(root.startTimeUnixNano), 182_400_000n);
    assert.ok(root.attributes.some(({ key, value }) => key === 'tandem.anatomy.go_network' && value.intValue === '171300000'));
    const text = await copy('text for an issue', 'text');
    assert.match(text, /POST \/checkout \(gateway\)/);
    assert.match(text, /SELECT stock/);
    assert.match(await copy('curl command'), /^curl -i -X POST -H 'traceparent: 00-01(ab){15}-5a00000000000101-01' http:\/\/localhost\/checkout$/);
  },

  async 'it is readable at 1024 pixels and in the dark'() {
    await page.setViewportSize({ width: 1024, height: 700 });
    await page.locator('[data-span="5a00000000000105"]').click();
    await fits();
    await page.emulateMedia({ colorScheme: 'dark' });
    await picture('trace-1024-dark');
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 1280, height: 800 });
  },

  async 'errors, missing and unfinished spans are marked'() {
    await page.goto(`${home}trace/02`);
    await page.locator('.row.failed').click();
    await details.getByText('card ending in 0000 was declined by the bank').first().waitFor();
    await picture('trace-error');
    await page.goto(`${home}trace/04`);
    await page.getByText('missing span 5a00000000000409').first().click();
    await details.getByText('it has not arrived').waitFor();
    await page.goto(`${home}trace/05`);
    await page.getByText('unfinished').waitFor();
  },

  async 'text from spans stays text'() {
    await page.goto(`${home}trace/03`);
    await spans.first().click();
    assert.equal(await page.locator('.label').first().textContent(), HOSTILE);
    assert.equal(await details.getByRole('heading').first().textContent(), HOSTILE);
    await details.locator('.attributes td').first().waitFor();
    assert.equal(await details.locator('.attributes td').first().textContent(), HOSTILE);
    assert.equal(await page.locator('img:not([src="/icon.svg"])').count(), 0);
    assert.ok((await page.title()).startsWith('<img'), 'the title is the name, as text');
    for (const view of ['', 'routes', 'map', 'software', 'compare?a=03ab&b=03ab']) {
      await page.goto(home + view);
      await page.getByText('<img src=x').filter({ visible: true }).first().waitFor();
      assert.equal(await page.locator('img:not([src="/icon.svg"])').count(), 0, view);
      assert.ok(!(await page.title()).includes('broken into'), view);
    }
  },

  async 'a trace of 50,000 spans draws only what is in sight'() {
    await ask('large');
    await page.goto(`${home}trace/5a`);
    await page.getByText('50,000 rows').waitFor();
    await page.locator('.row').first().waitFor();
    const told = await page.evaluate(() => {
      const [asked] = performance.getEntriesByType('resource').filter((entry) => entry.name.endsWith('/drawing'));
      return { answered: Math.round(asked.responseEnd - asked.startTime), drawn: Math.round(performance.now() - asked.responseEnd), bytes: asked.decodedBodySize };
    });
    console.log(`      50,000 spans: answered after ${told.answered} ms (${(told.bytes / 1e6).toFixed(1)} MB), drawn ${told.drawn} ms later`);
    const drawn = await spans.count();
    assert.ok(drawn > 20 && drawn < 80, `${drawn} rows are drawn`);
    await page.keyboard.press('End');
    await page.locator('.row.selected').waitFor();
    assert.equal(await page.getByRole('treegrid').evaluate((all) => Math.round(all.scrollHeight / 26)), 50_000);
    const slowest = await page.getByRole('treegrid').evaluate(async (all) => {
      let slowest = 0;
      for (let step = 0, last = performance.now(); step < 40; step++) {
        all.scrollTop = (all.scrollHeight / 40) * step;
        await new Promise((resolve) => requestAnimationFrame(resolve));
        const now = performance.now();
        slowest = Math.max(slowest, now - last);
        last = now;
      }
      return slowest;
    });
    console.log(`      the slowest frame while scrolling took ${Math.round(slowest)} ms`);
    await picture('trace-large');
  },
};
