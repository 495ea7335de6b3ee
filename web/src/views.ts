// The views, each a script of its own that is fetched when somebody looks at it.
import type { Component } from 'svelte';

type View = Component<{ id?: string }>;
type Load = () => Promise<{ default: Component<any> }>;

const VIEWS: Record<string, Load> = {
  '/': () => import('./traces/TracesView.svelte'),
  '/routes': () => import('./routes/RoutesView.svelte'),
  '/map': () => import('./map/MapView.svelte'),
  '/software': () => import('./software/SoftwareView.svelte'),
  '/health': () => import('./health/HealthView.svelte'),
  '/compare': () => import('./compare/CompareView.svelte'),
};

const ofTrace: Load = () => import('./trace/TraceView.svelte');

/** The view that a path names; of a path that names none, the list. */
export async function viewOf(path: string): Promise<View> {
  const load = path.startsWith('/trace/') ? ofTrace : (VIEWS[path] ?? VIEWS['/']!);
  return (await load()).default;
}

/** Fetches all of them, so that none is waited for when it is looked at, even when the agent is gone by then. */
export async function fetchViews(): Promise<void> {
  await Promise.allSettled([...Object.values(VIEWS), ofTrace].map((load) => load()));
}
