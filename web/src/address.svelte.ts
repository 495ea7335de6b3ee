// What the address says is what the page shows: the filters of the list, or a trace and the selected span.

/** Filters of the list, under the API's own names. Empty text: no filter. */
export const FILTERS = ['service', 'route', 'errors', 'min_duration', 'max_duration', 'since', 'attribute'] as const;
export type Filter = Record<(typeof FILTERS)[number], string>;

export type View = { kind: 'list'; filter: Filter } | { kind: 'trace'; id: string; span: string | null };

function read(): View {
  const query = new URLSearchParams(location.search);
  const trace = /^\/trace\/([^/]+)$/.exec(location.pathname);
  if (trace?.[1]) return { kind: 'trace', id: decodeURIComponent(trace[1]), span: query.get('span') };
  const filter = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ''])) as Filter;
  return { kind: 'list', filter };
}

function write(view: View): string {
  const query = new URLSearchParams();
  if (view.kind === 'trace') {
    if (view.span) query.set('span', view.span);
  } else {
    for (const name of FILTERS) if (view.filter[name]) query.set(name, view.filter[name]);
  }
  const path = view.kind === 'trace' ? `/trace/${encodeURIComponent(view.id)}` : '/';
  return query.size > 0 ? `${path}?${query}` : path;
}

let current: View = $state.raw(read());
/** The list that was seen last: where a trace's way back leads. */
let lastList = '/';

addEventListener('popstate', () => (current = read()));

export const address = {
  get view(): View {
    return current;
  },
  /** Shows something else; a step that the browser's back button undoes. */
  go(view: View): void {
    if (current.kind === 'list') lastList = write(current);
    history.pushState(null, '', write(view));
    current = view;
  },
  /** Shows the same a little differently. */
  adjust(view: View): void {
    history.replaceState(null, '', write(view));
    current = view;
  },
  backToList(): void {
    history.pushState(null, '', lastList);
    current = read();
  },
  link: write,
};
