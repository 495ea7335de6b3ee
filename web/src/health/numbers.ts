// The agent's numbers by name, and what is read out of them.

export interface OwnNumber {
  name: string;
  help: string;
  kind: 'counter' | 'gauge';
  label: string | null;
  points: [string, number][];
}

export interface Health {
  /** `limit`: up to which it may grow; then it is full and the oldest traces go. */
  store: { folder: string; bytes: number; limit: number | null; is_full: boolean; oldest_unix_nano: number | null };
  agent: { cpu_ns: number; resident_bytes: number; numbers: OwnNumber[] } | null;
}

/** All points of a number, those that are 0 included. */
export function points(health: Health, name: string): [string, number][] {
  return health.agent?.numbers.find((one) => one.name === name)?.points ?? [];
}

export function sum(health: Health, name: string): number {
  return points(health, name).reduce((all, [, number]) => all + number, 0);
}

export interface Loss {
  what: string;
  cause: string;
  count: number;
}

const LOSSES: [string, string][] = [
  ['tandem_spans_dropped_total', 'spans'],
  ['tandem_logs_dropped_total', 'log records'],
  ['tandem_profile_samples_dropped_total', 'samples'],
  ['tandem_observed_lost_total', 'of observed programs'],
  ['tandem_received_refused_total', 'received records'],
  ['tandem_received_requests_refused_total', 'received requests'],
  ['tandem_faults_total', 'made no sense'],
  ['tandem_program_limits_total', 'programs’ memory was full'],
];

/** What was lost, the most first. */
export function losses(health: Health): Loss[] {
  return LOSSES.flatMap(([name, what]) => points(health, name).map(([cause, count]) => ({ what, cause: cause.replaceAll('_', ' '), count })))
    .filter((loss) => loss.count > 0)
    .sort((a, b) => b.count - a.count);
}

/** Of the requests that the kernel saw, the share that spans tell of; by service. */
export function completeness(health: Health): { service: string; seen: number; told: number }[] {
  const told = new Map(points(health, 'tandem_requests_told_total'));
  return points(health, 'tandem_requests_seen_total')
    .filter(([, seen]) => seen > 0)
    .map(([service, seen]) => ({ service, seen, told: Math.min(seen, told.get(service) ?? 0) }));
}

export function bytes(count: number): string {
  const units = ['B', 'KB', 'MB', 'GB'];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1024;
    unit++;
  }
  return `${count.toFixed(unit > 0 && count < 10 ? 1 : 0)} ${units[unit]}`;
}
