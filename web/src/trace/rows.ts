// What the views of a trace need of its drawing, besides what is in it.
import { MARK, type Drawing } from './drawing';

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
}

export function rowsOf(drawing: Drawing): Rows {
  const critical = new Map<number, Stretch[]>();
  const { critical_row, critical_from, critical_to, offset_ns, duration_ns, marks } = drawing.columns;
  for (let index = 0; index < critical_row.length; index++) {
    const row = critical_row[index]!;
    const stretch = { from: critical_from[index]!, to: critical_to[index]! };
    const known = critical.get(row);
    if (known) known.push(stretch);
    else critical.set(row, [stretch]);
  }
  let whole = 1;
  for (let row = 0; row < marks.length; row++) whole = Math.max(whole, offset_ns[row]! + duration_ns[row]!);
  return { drawing, count: marks.length, whole, critical };
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

export function spanIdOf(rows: Rows, row: number): string {
  let id = '';
  for (let byte = row * 8; byte < row * 8 + 8; byte++) id += HEX[rows.drawing.columns.span_id[byte]!];
  return id;
}

/** The row of a span, or -1. */
export function rowOfSpan(rows: Rows, id: string): number {
  if (!/^[0-9a-f]{16}$/.test(id)) return -1;
  const bytes = Array.from({ length: 8 }, (_, index) => parseInt(id.slice(index * 2, index * 2 + 2), 16));
  const ids = rows.drawing.columns.span_id;
  for (let row = 0; row < rows.count; row++) {
    if (bytes.every((byte, index) => ids[row * 8 + index] === byte)) return row;
  }
  return -1;
}

export const nameOf = (rows: Rows, row: number): string => rows.drawing.names[rows.drawing.columns.name[row]!] ?? '';
export const sourceOf = (rows: Rows, row: number): string => rows.drawing.sources[rows.drawing.columns.source[row]!] ?? '';
export const kindOf = (rows: Rows, row: number): string => rows.drawing.kinds[rows.drawing.columns.kind[row]!] ?? '';
export const serviceOf = (rows: Rows, row: number): string => rows.drawing.services[rows.drawing.columns.service[row]!] ?? '';
export const isMarked = (rows: Rows, row: number, mark: number): boolean => (rows.drawing.columns.marks[row]! & mark) !== 0;
export const failed = (rows: Rows, row: number): boolean => isMarked(rows, row, MARK.error);

/** Time of the row's own on the critical path, ns. */
export function criticalTime(rows: Rows, row: number): number {
  return (rows.critical.get(row) ?? []).reduce((sum, stretch) => sum + stretch.to - stretch.from, 0);
}

/** Rows that no collapsed ancestor hides. */
export function shownRows(rows: Rows, collapsed: ReadonlySet<number>): number[] {
  const { parent } = rows.drawing.columns;
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
  const { name, service } = rows.drawing.columns;
  const isId = /^[0-9a-f]{1,16}$/.test(wanted);
  const found: number[] = [];
  for (let row = 0; row < rows.count; row++) {
    if (names[name[row]!] || services[service[row]!] || (isId && spanIdOf(rows, row).startsWith(wanted))) found.push(row);
  }
  return found;
}

/** A row's anatomy by the names of its parts. */
export function partsOf(rows: Rows, row: number): Record<string, number> | null {
  if (!isMarked(rows, row, MARK.measured)) return null;
  const { anatomy_begin, anatomy_part, anatomy_ns } = rows.drawing.columns;
  const parts: Record<string, number> = {};
  for (let index = anatomy_begin[row]!; index < anatomy_begin[row + 1]!; index++) {
    parts[rows.drawing.parts[anatomy_part[index]!]!] = anatomy_ns[index]!;
  }
  return parts;
}
