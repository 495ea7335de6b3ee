// What the address says is what the page shows: a view by its path, everything else about it by the query.

export type Query = Record<string, string>;

interface Place {
  path: string;
  query: Query;
}

function read(): Place {
  return { path: location.pathname, query: Object.fromEntries(new URLSearchParams(location.search)) };
}

function write(path: string, query: Query): string {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ''));
  return given.size > 0 ? `${path}?${given}` : path;
}

let current: Place = $state.raw(read());
/** The list that was seen last: where a trace's way back leads. */
let lastList = '/';

addEventListener('popstate', () => (current = read()));

export const address = {
  get path(): string {
    return current.path;
  },
  get query(): Query {
    return current.query;
  },
  /** A value of the query; empty when it is not there. */
  get(name: string): string {
    return current.query[name] ?? '';
  },
  /** The id of the trace that is shown. */
  get trace(): string | null {
    const id = /^\/trace\/([^/]+)$/.exec(current.path)?.[1];
    return id ? decodeURIComponent(id) : null;
  },
  /** Shows something else; a step that the browser's back button undoes. */
  go(path: string, query: Query = {}): void {
    if (this.trace === null) lastList = write(current.path, current.query);
    history.pushState(null, '', write(path, query));
    current = read();
  },
  /** Shows the same a little differently. Empty text takes a value away. */
  adjust(change: Query): void {
    history.replaceState(null, '', write(current.path, { ...current.query, ...change }));
    current = read();
  },
  backToList(): void {
    history.pushState(null, '', lastList);
    current = read();
  },
  link: write,
  ofTrace(id: string, span = ''): [string, Query] {
    return [`/trace/${encodeURIComponent(id)}`, { span }];
  },
  /** For a link: follows it within the page, unless the browser is to open it elsewhere. */
  follow(event: MouseEvent, path: string, query: Query = {}): void {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    this.go(path, query);
  },
};
