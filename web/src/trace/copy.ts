// A trace or a span as text for elsewhere: OTLP JSON, a curl command, a report for an issue.
import type { Attributes, Link, Moment, Span, Value } from '../api';
import { duration } from '../format';
import { inOrder } from '../anatomy';
import { failed, nameOf, partsOf, serviceOf, type Rows } from './rows';

export async function toClipboard(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without HTTPS the clipboard is there on loopback addresses only.
  const field = document.body.appendChild(document.createElement('textarea'));
  field.value = text;
  field.select();
  document.execCommand('copy');
  field.remove();
}

function anyValue(value: Value): unknown {
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number') return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  if (typeof value === 'string') return { stringValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
  return { kvlistValue: { values: keyValues(value) } };
}

function keyValues(attributes: Attributes): unknown[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }));
}

const KINDS: Record<string, number> = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 };
const STATUS = { unset: 0, ok: 1, error: 2 };

/** The end of a span; both may be too large for numbers. */
const plus = (start: Moment, ns: number): string => String(BigInt(start) + BigInt(ns));

function otlpLink(link: Link): unknown {
  return {
    traceId: link.trace_id,
    spanId: link.span_id,
    ...(link.trace_state ? { traceState: link.trace_state } : {}),
    ...(link.flags ? { flags: link.flags } : {}),
    ...(link.attributes ? { attributes: keyValues(link.attributes) } : {}),
  };
}

function otlpSpan(span: Span): unknown {
  const own: Attributes = Object.fromEntries(Object.entries(span.anatomy?.parts_ns ?? {}).map(([part, ns]) => [`tandem.anatomy.${part}`, ns]));
  if (span.source !== 'woven') own['tandem.source'] = span.source;
  if (span.unfinished) own['tandem.unfinished'] = true;
  return {
    traceId: span.trace_id,
    spanId: span.span_id,
    ...(span.trace_state ? { traceState: span.trace_state } : {}),
    ...(span.flags ? { flags: span.flags } : {}),
    ...(span.parent_span_id ? { parentSpanId: span.parent_span_id } : {}),
    name: span.name,
    kind: KINDS[span.kind] ?? 1,
    startTimeUnixNano: String(span.start_unix_nano),
    endTimeUnixNano: plus(span.start_unix_nano, span.duration_ns),
    attributes: keyValues({ ...span.attributes, ...own }),
    events: span.events.map((event) => ({ name: event.name, timeUnixNano: String(event.time_unix_nano), attributes: keyValues(event.attributes) })),
    links: span.links.map(otlpLink),
    status: { code: STATUS[span.status.code], ...(span.status.message ? { message: span.status.message } : {}) },
  };
}

/** What an OTLP receiver takes at `/v1/traces`. */
export function otlpJson(spans: Span[], resources: Record<string, Attributes>): string {
  const groups = new Map<string, Map<string, Span[]>>();
  for (const span of spans) {
    const scopes = groups.get(span.service) ?? new Map<string, Span[]>();
    groups.set(span.service, scopes.set(span.scope, [...(scopes.get(span.scope) ?? []), span]));
  }
  const resourceSpans = [...groups].map(([service, scopes]) => ({
    resource: { attributes: keyValues(resources[service] ?? { 'service.name': service }) },
    scopeSpans: [...scopes].map(([name, spans]) => ({ scope: { name }, spans: spans.map(otlpSpan) })),
  }));
  return JSON.stringify({ resourceSpans }, null, 2);
}

/** The request of an HTTP span as a command; `null`: it is none. */
export function curl(span: Span): string | null {
  const said = (...keys: string[]): string | null => keys.map((key) => span.attributes[key]).find((value) => value !== undefined)?.toString() ?? null;
  const method = said('http.request.method');
  if (method === null) return null;
  const port = said('server.port');
  const host = `${said('server.address') ?? 'localhost'}${port ? `:${port}` : ''}`;
  const query = said('url.query');
  const address = said('url.full') ?? `${said('url.scheme') ?? 'http'}://${host}${said('url.path', 'http.route') ?? '/'}${query ? `?${query}` : ''}`;
  // Joins the trace that it repeats.
  const header = `traceparent: 00-${span.trace_id}-${span.span_id}-01`;
  return `curl -i -X ${quoted(method)} -H ${quoted(header)} ${quoted(address)}`;
}

/** A word for a shell, whatever is in it. */
function quoted(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** More rows than these nobody reads in an issue. */
const MOST_ROWS = 120;

/** The trace in Markdown. */
export function issueText(rows: Rows, address: string): string {
  const { summary, columns } = rows.drawing;
  const lines: string[] = [];
  for (let row = 0; row < Math.min(rows.count, MOST_ROWS); row++) {
    const parts = inOrder(partsOf(rows, row) ?? {}).toSorted((a, b) => b.ns - a.ns).slice(0, 3);
    const where = parts.map((part) => `${part.name} ${duration(part.ns)}`).join(', ');
    const name = `${'  '.repeat(columns.depth[row]!)}${failed(rows, row) ? '✗ ' : ''}${nameOf(rows, row) || 'missing span'} (${serviceOf(rows, row)})`;
    lines.push(`${rows.critical.has(row) ? '*' : ' '} ${duration(columns.duration_ns[row]!).padStart(9)}  ${name}${where ? `  [${where}]` : ''}`.replaceAll('```', "'''").replace(/[\r\n]+/g, ' '));
  }
  if (rows.count > MOST_ROWS) lines.push(`  … ${rows.count - MOST_ROWS} more spans`);
  const facts = `${duration(summary.duration_ns)}, ${summary.span_count} spans, ${summary.error_count} errors, services: ${summary.services.join(', ')}`;
  return `**Trace \`${summary.trace_id}\`** (${facts})\n${address}\n\n\`\`\`text\n${lines.join('\n')}\n\`\`\`\n\\* on the critical path. Made with Tandem.\n`;
}
