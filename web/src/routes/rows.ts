// A route's time at its quantiles, by operation, side by side.
import type { Piece, RouteTime } from '../api';

export interface OperationRow {
  service: string;
  operation: string;
  /** One for each quantile, in their order. */
  at: { ns: number; calls: number; parts: Record<string, number> }[];
}

const key = (piece: { service: string; operation: string }): string => `${piece.service}\n${piece.operation}`;

/** Time by part of the anatomy. */
export function partsOf(pieces: Piece[]): Record<string, number> {
  const parts: Record<string, number> = {};
  for (const piece of pieces) parts[piece.part] = (parts[piece.part] ?? 0) + piece.time_ns;
  return parts;
}

/** What each operation has of the time, those first whose time grows most towards the slow requests. */
export function operationsOf(route: RouteTime): OperationRow[] {
  const rows = new Map<string, OperationRow>();
  route.quantiles.forEach((quantile, index) => {
    for (const piece of quantile.pieces) {
      const row = rows.get(key(piece)) ?? {
        service: piece.service,
        operation: piece.operation,
        at: route.quantiles.map(() => ({ ns: 0, calls: 0, parts: {} as Record<string, number> })),
      };
      rows.set(key(piece), row);
      const cell = row.at[index]!;
      cell.ns += piece.time_ns;
      cell.calls = piece.calls;
      cell.parts[piece.part] = (cell.parts[piece.part] ?? 0) + piece.time_ns;
    }
  });
  const most = (row: OperationRow): number => Math.max(...row.at.map((cell) => cell.ns));
  return [...rows.values()].sort((a, b) => most(b) - most(a));
}

export const quantileName = (at: number): string => `p${Math.round(at * 100)}`;

/** What a route is shown beside: nothing, the same length of time some time before, or traces with another attribute. */
export interface Beside {
  /** How long before, as the address has it; empty: not another time. */
  shift: string;
  /** `key=value`; empty: not another attribute. */
  attribute: string;
}

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `15m`, `24h`; 0: it is none. */
export function milliseconds(text: string): number {
  const [, count, unit] = /^(\d+)([smhd])$/.exec(text) ?? [];
  return Number(count ?? 0) * (UNITS[unit ?? ''] ?? 0);
}

/** The query for what a route is shown beside; `null`: nothing. */
export function besideQuery(query: URLSearchParams, beside: Beside, since: string, now: number): URLSearchParams | null {
  const other = new URLSearchParams(query);
  if (beside.attribute !== '') {
    other.set('attribute', beside.attribute);
    return other;
  }
  const [shift, length] = [milliseconds(beside.shift), milliseconds(since)];
  if (shift === 0 || length === 0) return null;
  other.delete('since');
  other.set('from', String(now - shift - length));
  other.set('to', String(now - shift));
  return other;
}
