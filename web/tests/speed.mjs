// How fast the page opens: node tests/speed.mjs ADDRESS [TIMES]. ADDRESS is a trace's (…/trace/ID) or a view's, of a page that is
// being served; each time is a new browser context, so nothing is cached. Prints ms after the address was entered.
import { chromium } from 'playwright-core';

const [address, times = '7'] = process.argv.slice(2);
if (!address) {
  console.error('usage: CHROMIUM=/usr/bin/chromium node tests/speed.mjs http://127.0.0.1:8317/trace/ID [TIMES]');
  process.exit(2);
}
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  // Chromium's sandbox refuses to work for root, which is who runs tests in containers.
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
});

const found = [];
for (let time = 0; time < Number(times); time++) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  // Tells the moment of the first frame that has rows.
  await page.addInitScript(() => {
    const look = () => {
      if (document.querySelector('.row[data-span], table.list tbody tr')) requestAnimationFrame(() => setTimeout(() => performance.mark('rows')));
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await page.goto(address, { waitUntil: 'commit' });
  await page.waitForFunction(() => performance.getEntriesByName('rows').length > 0);
  found.push(
    await page.evaluate(() => {
      const at = (name) => performance.getEntriesByName(name)[0]?.startTime;
      const resource = (part) => performance.getEntriesByType('resource').find((entry) => entry.name.includes(part));
      const answer = resource('/drawing') ?? resource('/api/traces');
      return {
        document: performance.getEntriesByType('navigation')[0].responseEnd,
        script: resource('.js')?.responseEnd,
        'first paint': at('first-contentful-paint'),
        asked: answer?.requestStart,
        'first byte': answer?.responseStart,
        answered: answer?.responseEnd,
        rows: at('rows'),
      };
    }),
  );
  await context.close();
}
await browser.close();

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
for (const what of Object.keys(found[0])) {
  const values = found.map((one) => Math.round(one[what] ?? NaN));
  console.log(`${what.padEnd(12)} median ${String(median(values)).padStart(5)} ms   of ${values.join(', ')}`);
}
