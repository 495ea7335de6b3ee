// The agent's answers, in the forms that crates/ui/src/api.rs gives them.

export type Value = boolean | number | string | Value[] | { [key: string]: Value };
export type Attributes = Record<string, Value>;

export interface Summary {
  trace_id: string;
  root: string;
  services: string[];
  span_count: number;
  error_count: number;
  start_unix_nano: number | string;
  duration_ns: number;
}

export interface Span {
  trace_id: string;
  span_id: string;
  parent_span_id: string | null;
  name: string;
  kind: string;
  service: string;
  start_unix_nano: number | string;
  duration_ns: number;
  status: { code: 'unset' | 'ok' | 'error'; message?: string };
  attributes: Attributes;
  events: { name: string; time_unix_nano: number | string; attributes: Attributes }[];
  links: { trace_id: string; span_id: string }[];
  anatomy: Anatomy | null;
  source: string;
  unfinished: boolean;
  scope: string;
}

export interface Anatomy {
  wall_ns: number;
  parts_ns: Record<string, number>;
}

export interface Row {
  span: number | null;
  missing: string | null;
  parent: number | null;
  depth: number;
  children: number;
  offset_ns: number;
  duration_ns: number;
  resource: number | null;
}

export interface Trace {
  summary: Summary;
  rows: Row[];
  spans: Span[];
  resources: Attributes[];
}

/** An answer that says what was wrong with the question. */
export class Refused extends Error {}

/** Asks the agent. Fails with [Refused] when it says why, with another error when it cannot be reached. */
export async function ask<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, { signal: signal ?? null, headers: { accept: 'application/json' } });
  const answer: unknown = parse(await response.text());
  if (response.ok) return answer as T;
  throw new Refused((answer as { error?: string }).error ?? `the agent answered ${response.status}`);
}

/** Integers that JavaScript's numbers cannot hold (moments in ns, large attributes) stay text instead of becoming wrong. */
export function parse(json: string): unknown {
  const exact = (_key: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source
      ? context.source
      : value;
  return JSON.parse(json, exact);
}
