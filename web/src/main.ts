// Starts the page: the frame of index.html is seen first, then the page's script takes its place.
import './style.css';
import './frame.css';
import { fetchViews, viewOf } from './views';

// Both are on the way at once, while the browser draws the frame.
const [page, view] = [import('./page'), viewOf(location.pathname)];

// A script that is there early would have the frame wait for it: a frame is drawn, then it may begin.
requestAnimationFrame(() => setTimeout(start));

async function start(): Promise<void> {
  const [{ show }] = await Promise.all([page, view]);
  document.body.replaceChildren();
  show(document.body);
  // Safari has no word for it.
  (window.requestIdleCallback ?? setTimeout)(() => void fetchViews());
}
