// The agent's answers, in the forms that crates/ui/src gives them.
import { connection } from './connection.svelte';

export type Value = boolean | number | string | Value[] | { [key: string]: Value };
export type Attributes = Record<string, Value>;
/** Moments are too large for JavaScript's numbers: then they are text. */
export type Moment = number | string;

export interface Summary {
  trace_id: string;
  root: string;
  services: string[];
  span_count: number;
  error_count: number;
  start_unix_nano: Moment;
  duration_ns: number;
}

export interface Link {
  trace_id: string;
  span_id: string;
  trace_state?: string;
  flags?: number;
  attributes?: Attributes;
}

export interface Span {
  trace_id: string;
  span_id: string;
  parent_span_id: string | null;
  name: string;
  kind: string;
  service: string;
  trace_state?: string;
  flags?: number;
  start_unix_nano: Moment;
  duration_ns: number;
  status: { code: 'unset' | 'ok' | 'error'; message?: string };
  attributes: Attributes;
  events: { name: string; time_unix_nano: Moment; attributes: Attributes }[];
  links: Link[];
  anatomy: Anatomy | null;
  source: string;
  unfinished: boolean;
  scope: string;
}

export interface Anatomy {
  wall_ns: number;
  parts_ns: Record<string, number>;
}

export interface LogRecord {
  time_unix_nano: Moment;
  severity_number: number;
  severity_text?: string;
  body: Value;
  attributes: Attributes;
  span_id: string | null;
  service: string;
  scope: string;
}

export interface Exemplar {
  trace_id: string;
  duration_ns: number;
}

export interface TimeStep {
  traces: number;
  errors: number;
  p50_ns: number | null;
  p95_ns: number | null;
  p99_ns: number | null;
  slowest: Exemplar | null;
  failed: Exemplar | null;
}

export interface Series {
  from_ms: number;
  step_ms: number;
  steps: TimeStep[];
}

export interface DurationStep {
  from_ns: number;
  to_ns: number;
  traces: number;
  errors: number;
}

export interface Overview {
  traces: number;
  errors: number;
  more: boolean;
  facets: {
    services: [string, number][];
    roots: [string, number][];
    attributes: { key: string; values: [string, number][] }[];
    /** Traces whose attributes were looked at. */
    attributes_of: number;
  };
  durations: DurationStep[];
  series: Series | null;
}

export interface Piece {
  service: string;
  operation: string;
  part: string;
  kind: string;
  time_ns: number;
  calls: number;
}

export interface Quantile {
  at: number;
  duration_ns: number;
  requests: number;
  example: string;
  pieces: Piece[];
}

export interface RouteTime {
  service: string;
  operation: string;
  requests: number;
  failed: number;
  first_unix_nano: Moment;
  last_unix_nano: Moment;
  quantiles: Quantile[];
}

export interface Cause {
  kind: string;
  service: string;
  operation: string;
  share: number;
  slow_ns: number;
  normal_ns: number;
  slow_calls: number;
  normal_calls: number;
  evidence: string[];
  traces: string[];
  next: string;
}

export interface Diagnosis {
  service: string;
  operation: string;
  verdict: 'explained' | 'too_few' | 'even';
  requests: number;
  slow: number;
  normal: number;
  slow_ns: number;
  normal_ns: number;
  causes: Cause[];
  rest: number;
  common: { key: string; value: string; slow: number; normal: number }[];
}

export interface Call {
  function: string;
  file: string;
  line: number;
  value_ns: number;
  calls: Call[];
}

export interface Flame {
  value_ns: number;
  samples: number;
  in_spans_ns: number;
  calls: Call[];
}

export interface Figures {
  count: number;
  errors: number;
  p50_ns: number;
  p95_ns: number;
}

export interface MapNode {
  name: string;
  kind: 'service' | 'database' | 'messaging' | 'rpc' | 'http' | 'outside';
  requests: Figures;
  spans: number;
  sources: Record<string, number>;
  parts_ns: Record<string, number>;
  language: string | null;
  version: string | null;
}

export interface MapEdge {
  from: string;
  to: string;
  protocol: string;
  calls: Figures;
}

export interface ServiceMap {
  nodes: MapNode[];
  edges: MapEdge[];
  traces: number;
  from_ms: number;
  to_ms: number;
}

/** A place of a trace in one of two sets: means over the traces that have its root. */
export interface ComparedSide {
  traces: number;
  calls: number;
  time_ns: number;
  failed: number;
  parts_ns: Record<string, number>;
  /** Of a root, at 50, 95 and 99 %. */
  quantiles_ns?: [number, number, number];
}

export interface ComparedPlace {
  service: string;
  name: string;
  /** Service and name of a root that is another one in B. */
  second?: [string, string];
  depth: number;
  sides: [ComparedSide | null, ComparedSide | null];
}

export interface Compared {
  sides: [{ traces: number; trace: Summary | null }, { traces: number; trace: Summary | null }];
  places: ComparedPlace[];
  telling: boolean[];
}

/** A source line at work. */
export interface SoftwareLine {
  service: string;
  package: string;
  function: string;
  file: string;
  /** 0 where it is not known. */
  line: number;
  calls: number;
  time_ns: number;
  parts_ns: Record<string, number>;
}

export interface Software {
  lines: SoftwareLine[];
  /** So many traces, or looks at stacks, it is of. */
  of: number;
}

/** Filters of traces, under the names that both the address and the API have for them. Empty text: no filter. */
export const FILTERS = ['q', 'service', 'route', 'errors', 'min_duration', 'max_duration', 'since', 'from', 'to', 'attribute'] as const;
export type FilterName = (typeof FILTERS)[number];

/** The query of the lists, of the plots and of what is computed from traces: here alone filters become parameters. */
export function filterQuery(of: (name: FilterName) => string, without: FilterName[] = []): URLSearchParams {
  const given = FILTERS.filter((name) => !without.includes(name) && of(name) !== '');
  // A stretch of time that was chosen in a plot says more than "the last hour".
  const names = of('from') ? given.filter((name) => name !== 'since') : given;
  return new URLSearchParams(names.map((name) => [name, of(name)]));
}

/** Where a query is wrong, in code points counted from 1. */
export interface Place {
  column: number;
  length: number;
}

/** An answer that says what was wrong with the question. */
export class Refused extends Error {
  readonly place: Place | null;

  constructor(answer: { error?: string } & Partial<Place>, status: number) {
    super(answer.error ?? `the agent answered ${status}`);
    this.place = answer.column === undefined ? null : { column: answer.column, length: answer.length ?? 1 };
  }
}

/** What to say of a failed question. */
export function complaint(error: unknown): string {
  return error instanceof Refused ? error.message : 'The agent does not answer.';
}

/** Fetches, and notes whether anybody answered. */
export async function reach(path: string, how: RequestInit): Promise<Response> {
  try {
    const response = await fetch(path, how);
    connection.answered();
    return response;
  } catch (error) {
    if (!how.signal?.aborted) connection.failed();
    throw error;
  }
}

/** Asks the agent. Fails with [Refused] when it says why, with another error when it cannot be reached. */
export async function ask<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await reach(path, { signal: signal ?? null, headers: { accept: 'application/json' } });
  const answer = parse(await response.text());
  if (response.ok) return answer as T;
  throw new Refused(answer as { error?: string }, response.status);
}

/** Has the agent do something. The header says that it is this page that asks: no other site's can send it. */
export async function tell<T>(path: string, what: object): Promise<T> {
  const headers = { 'content-type': 'application/json', 'x-tandem-page': '1' };
  const response = await reach(path, { method: 'POST', headers, body: JSON.stringify(what) });
  const answer = parse(await response.text());
  if (response.ok) return answer as T;
  throw new Refused(answer as { error?: string }, response.status);
}

/** Integers that JavaScript's numbers cannot hold (moments in ns, large attributes) stay text instead of becoming wrong. */
export function parse(json: string): unknown {
  const exact = (_key: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source
      ? context.source
      : value;
  return JSON.parse(json, exact);
}
