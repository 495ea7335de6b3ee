// Where a span comes from, and how sure its parent is (docs/unwoven.md, docs/sockets.md).

const SOURCES: Record<string, string> = {
  woven: 'woven into the program',
  api: 'made by hand with the OpenTelemetry API',
  otlp: 'received as OTLP',
  uprobe: 'seen by a probe on a function',
  socket: 'seen on a socket',
};

export function origin(source: string, scope: string): string {
  const how = SOURCES[source] ?? source;
  return scope ? `${how}: ${scope.replace(/^tandem\//, source === 'woven' ? 'pack ' : '')}` : how;
}

export interface Sureness {
  sure: boolean;
  how: string;
}

const PARENTS: Record<string, Sureness> = {
  remote: { sure: true, how: 'named by the traceparent header of the request' },
  connection: { sure: true, how: 'what the other end of the connection was sending' },
  woven: { sure: true, how: 'the woven span that the goroutine was in' },
  explicit: { sure: true, how: 'the request whose context.Context was passed' },
  goroutine: { sure: false, how: 'the request that the same goroutine served: sure unless a handler works for another request meanwhile' },
  ancestor: { sure: false, how: 'the request that the goroutine served which started this one: sure unless this one outlives it' },
  thread: { sure: false, how: 'what the asking thread had read and not answered: sure where a thread serves one request at a time' },
  only: { sure: false, how: 'the one request that the process had to answer: sure unless it asked for a reason of its own' },
};

/** How the parent of a span was found. Spans of woven programs carry exact context. */
export function parentSureness(how: string | null, source: string, hasParent: boolean): Sureness | null {
  if (!hasParent) return null;
  if (how === null) return source === 'woven' ? { sure: true, how: 'exact context, carried by the program' } : null;
  return PARENTS[how] ?? { sure: false, how };
}
