// Looks at the page as a person would: every view, with the keyboard and the pointer, in real Chromium (harness.mjs says how).
import assert from 'node:assert/strict';
import { colours } from './colours.mjs';
import { ask, expected, home, page, picture, run } from './harness.mjs';
import { trace } from './trace.mjs';
import { empty, list, narrow } from './traces.mjs';
import { views } from './views.mjs';

const end = {
  async 'an agent that is gone is said to be'() {
    await page.goto(home);
    const rows = page.locator('table.traces tbody tr');
    await rows.first().waitFor();
    expected.agentGone = true;
    await ask('stop');
    await page.getByRole('alert').getByText('The agent does not answer').waitFor();
    assert.ok((await rows.count()) > 0, 'what was there stays in sight');
    await picture('agent-gone');
  },
};

await run({ ...empty, ...list, ...trace, ...narrow, ...views, ...colours, ...end });
