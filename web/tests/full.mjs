// A store whose disk is full: the page says so in every view, goes on showing what there is, and stops saying it once there is room.
// Started by crates/ui/tests/browser/full.rs.
import { accessible, ask, home, page, picture, run } from './harness.mjs';

const told = page.getByRole('alert').getByText('disk is full');

await run({
  async 'while there is room nothing is said'() {
    await page.goto(home);
    await page.locator('table.traces tbody tr').first().waitFor();
    await told.waitFor({ state: 'detached' });
  },

  async 'a full store is said in every view, and what is in it is shown'() {
    await ask('fill');
    await told.waitFor();
    await page.locator('table.traces tbody tr').first().waitFor();
    await accessible('the list above a full store');
    await picture('store-full');
    for (const view of ['routes', 'map', 'software', 'health']) {
      await page.goto(home + view);
      await told.waitFor();
    }
    await page.getByText('of 4.0 MB').waitFor();
  },

  async 'once there is room nothing is said any more'() {
    await ask('room');
    await told.waitFor({ state: 'detached' });
  },
});
