// Colours of the anatomy can be told apart without red or green.
import assert from 'node:assert/strict';
import { page } from './harness.mjs';

export const colours = {
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
