// A trace in columns (crates/ui/src/drawing.rs, columns.rs): typed arrays over the answer's bytes, so that nothing is parsed but a
// few names, however many spans there are.
import { Refused, parse, reach, type Summary } from '../api';

export interface Drawing {
  summary: Summary;
  /** Exactly. */
  start_unix_nano: string;
  names: string[];
  services: string[];
  scopes: string[];
  kinds: string[];
  sources: string[];
  parent_sources: string[];
  parts: string[];
  has_profile: boolean;
  columns: {
    /** Eight bytes a row. */
    span_id: Uint8Array;
    name: Uint32Array;
    service: Uint32Array;
    scope: Uint32Array;
    kind: Uint8Array;
    source: Uint8Array;
    parent_source: Int32Array;
    /** Row of the parent, or -1. */
    parent: Int32Array;
    depth: Uint32Array;
    children: Uint32Array;
    offset_ns: Float64Array;
    duration_ns: Float64Array;
    marks: Uint8Array;
    events: Uint32Array;
    links: Uint32Array;
    /** Where each row's parts begin, and at its end where they all end. */
    anatomy_begin: Uint32Array;
    anatomy_part: Uint16Array;
    anatomy_ns: Float32Array;
    critical_row: Uint32Array;
    critical_from: Float64Array;
    critical_to: Float64Array;
  };
}

export const MARK = { error: 1, missing: 2, unfinished: 4, measured: 8 };

const FORMS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array, f64: Float64Array };

export async function askDrawing(id: string, signal?: AbortSignal): Promise<Drawing> {
  // The server has the browser ask this very question while the page's script is still read (crates/ui/src/page.rs).
  const response = await reach(`/api/traces/${encodeURIComponent(id)}/drawing`, { signal: signal ?? null });
  if (!response.ok) throw new Refused(parse(await response.text()) as { error?: string }, response.status);
  return read(await response.arrayBuffer());
}

/** Takes an answer apart. Numbers are little endian, as on every machine that browsers run on. */
function read(answer: ArrayBuffer): Drawing {
  const begin = Uint32Array.BYTES_PER_ELEMENT + new Uint32Array(answer, 0, 1)[0]!;
  const head = parse(new TextDecoder().decode(new Uint8Array(answer, 4, begin - 4))) as Omit<Drawing, 'columns'> & {
    columns: Record<string, [keyof typeof FORMS, number, number]>;
  };
  const columns = Object.entries(head.columns).map(([name, [form, at, count]]) => [name, new FORMS[form](answer, begin + at, count)]);
  return { ...head, columns: Object.fromEntries(columns) as Drawing['columns'] };
}
