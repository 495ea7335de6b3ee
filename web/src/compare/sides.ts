// What is compared: for each side a trace or a query, and a stretch of time. All of it is in the address.
import { address, type Query } from '../address.svelte';

export const SIDES = ['a', 'b'] as const;
export type SideName = (typeof SIDES)[number];

/** Stretches of time by what the address says: how long ago they begin, and end. */
export const TIMES: [string, string][] = [
  ['', 'any time'],
  ['5m', 'the last 5 minutes'],
  ['10m-5m', 'the 5 minutes before those'],
  ['15m', 'the last 15 minutes'],
  ['30m-15m', 'the 15 minutes before those'],
  ['1h', 'the last hour'],
  ['2h-1h', 'the hour before that'],
  ['24h', 'the last 24 hours'],
  ['48h-24h', 'the 24 hours before those'],
];

/** A service's versions, the one that was seen last first. */
export interface Builds {
  service: string;
  versions: string[];
}

/** Another side that is worth comparing, and what it is called. */
export interface Suggestion {
  words: string;
  query: Query;
}

/** What to ask the agent; `null`: a side is missing. Two sets may differ by their time alone. */
export function question(query: Query): string | null {
  const said = (side: SideName): string => query[side] ?? '';
  const timed = (side: SideName): string => query[`${side}_time`] ?? '';
  if (SIDES.some((side) => said(side) === '' && timed(side) === '')) return null;
  const asked = new URLSearchParams();
  for (const side of SIDES) {
    const [since = '', until = ''] = timed(side).split('-');
    asked.set(side, said(side));
    if (since) asked.set(`${side}_since`, since);
    if (until) asked.set(`${side}_until`, until);
  }
  return `/api/compare?${asked}`;
}

/** A value as a query has it. */
const quoted = (value: string): string => (/^[\w./:@-]+$/.test(value) ? value : `"${value.replaceAll(/["\\]/g, '\\$&')}"`);

/** The sides are sets of the newest traces: two routes, two stretches of time, two builds. */
export function suggestions(roots: string[], builds: Builds[]): { what: string; choices: Suggestion[] }[] {
  const pairs = (values: string[]): [string, string][] => values.slice(1).map((value, index) => [values[index]!, value]);
  const routes = ([first, second]: [string, string]): Suggestion => ({ words: `${first} · ${second}`, query: { a: `root=${quoted(first)}`, b: `root=${quoted(second)}` } });
  const versions = ({ service, versions: [last = '', before = ''] }: Builds): Suggestion => {
    const of = (version: string): string => `service=${quoted(service)} service.version=${quoted(version)}`;
    return { words: `${service} ${before} · ${last}`, query: { a: of(before), b: of(last) } };
  };
  const over = (words: string, before: string, now: string): Suggestion => ({ words, query: { a_time: before, b_time: now } });
  return [
    { what: 'Two stretches of time', choices: [over('before · the last 5 minutes', '10m-5m', '5m'), over('before · the last 15 minutes', '30m-15m', '15m'), over('before · the last hour', '2h-1h', '1h')] },
    { what: 'Two builds', choices: builds.filter((one) => one.versions.length > 1).map(versions) },
    { what: 'Two routes', choices: pairs(roots).slice(0, 4).map(routes) },
  ];
}

export const swapped = (): Query =>
  Object.fromEntries(['', '_time'].flatMap((part) => [[`a${part}`, address.get(`b${part}`)], [`b${part}`, address.get(`a${part}`)]]));
