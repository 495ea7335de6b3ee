// What the views of a trace need of its drawing, besides what is in it.
import { MARK, type Drawing } from '../api';

/** A stretch of the critical path, ns after the trace's start. */
export interface Stretch {
  from: number;
  to: number;
}

export interface Rows {
  drawing: Drawing;
  count: number;
  /** End of the last row, ns after the trace's start. */
  whole: number;
  /** The critical path by row. */
  critical: Map<number, Stretch[]>;
  /** Row by the span's id. */
  bySpan: Map<string, number>;
}

export function rowsOf(drawing: Drawing): Rows {
  const critical = new Map<number, Stretch[]>();
  for (let index = 0; index + 2 < drawing.critical.length; index += 3) {
    const row = drawing.critical[index]!;
    const stretch = { from: drawing.critical[index + 1]!, to: drawing.critical[index + 2]! };
    const known = critical.get(row);
    if (known) known.push(stretch);
    else critical.set(row, [stretch]);
  }
  const { offset_ns, duration_ns, span_id } = drawing.rows;
  let whole = 1;
  for (let row = 0; row < span_id.length; row++) whole = Math.max(whole, offset_ns[row]! + duration_ns[row]!);
  return { drawing, count: span_id.length, whole, critical, bySpan: new Map(span_id.map((id, row) => [id, row])) };
}

export const nameOf = (rows: Rows, row: number): string => rows.drawing.names[rows.drawing.rows.name[row]!] ?? '';
export const serviceOf = (rows: Rows, row: number): string => rows.drawing.services[rows.drawing.rows.service[row]!] ?? '';
export const isMarked = (rows: Rows, row: number, mark: number): boolean => (rows.drawing.rows.marks[row]! & mark) !== 0;
export const failed = (rows: Rows, row: number): boolean => isMarked(rows, row, MARK.error);

/** Time of the row's own on the critical path, ns. */
export function criticalTime(rows: Rows, row: number): number {
  return (rows.critical.get(row) ?? []).reduce((sum, stretch) => sum + stretch.to - stretch.from, 0);
}

/** Rows that no collapsed ancestor hides. */
export function shownRows(rows: Rows, collapsed: ReadonlySet<number>): number[] {
  const { parent } = rows.drawing.rows;
  const hidden = new Uint8Array(rows.count);
  const shown: number[] = [];
  for (let row = 0; row < rows.count; row++) {
    const above = parent[row]!;
    if (above >= 0 && (hidden[above] === 1 || collapsed.has(above))) hidden[row] = 1;
    else shown.push(row);
  }
  return shown;
}

/** Rows whose name, service or id contains a text, without regard to case. */
export function findRows(rows: Rows, text: string): number[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return [];
  const has = (values: string[]): boolean[] => values.map((value) => value.toLowerCase().includes(wanted));
  const [names, services] = [has(rows.drawing.names), has(rows.drawing.services)];
  const { name, service, span_id } = rows.drawing.rows;
  const found: number[] = [];
  for (let row = 0; row < rows.count; row++) {
    if (names[name[row]!] || services[service[row]!] || span_id[row]!.startsWith(wanted)) found.push(row);
  }
  return found;
}

/** A row's anatomy by the names of its parts. */
export function partsOf(rows: Rows, row: number): Record<string, number> | null {
  const flat = rows.drawing.rows.anatomy[row];
  if (!flat) return null;
  const parts: Record<string, number> = {};
  for (let index = 0; index + 1 < flat.length; index += 2) parts[rows.drawing.parts[flat[index]!]!] = flat[index + 1]!;
  return parts;
}
