// Two traces side by side: spans that have the same place, which is their operation below the same operations, are one row.
import { nameOf, partsOf, serviceOf, failed, type Rows } from '../trace/rows';

export interface Side {
  calls: number;
  ns: number;
  failed: number;
  parts: Record<string, number>;
  /** The row of the first call. */
  row: number;
}

export interface Aligned {
  name: string;
  service: string;
  depth: number;
  sides: [Side | null, Side | null];
}

interface Node {
  name: string;
  service: string;
  sides: [Side | null, Side | null];
  children: Map<string, Node>;
}

function put(root: Node, rows: Rows, side: 0 | 1): void {
  const { parent, duration_ns } = rows.drawing.columns;
  const places: Node[] = [];
  for (let row = 0; row < rows.count; row++) {
    const above = parent[row]! >= 0 ? places[parent[row]!]! : root;
    const [name, service] = [nameOf(rows, row), serviceOf(rows, row)];
    const key = `${service}\n${name}`;
    let node = above.children.get(key);
    if (!node) {
      node = { name, service, sides: [null, null], children: new Map() };
      above.children.set(key, node);
    }
    places[row] = node;
    const of = (node.sides[side] ??= { calls: 0, ns: 0, failed: 0, parts: {}, row });
    of.calls++;
    of.ns += duration_ns[row]!;
    of.failed += failed(rows, row) ? 1 : 0;
    for (const [part, ns] of Object.entries(partsOf(rows, row) ?? {})) of.parts[part] = (of.parts[part] ?? 0) + ns;
  }
}

export function align(a: Rows, b: Rows): Aligned[] {
  const root: Node = { name: '', service: '', sides: [null, null], children: new Map() };
  put(root, a, 0);
  put(root, b, 1);
  const found: Aligned[] = [];
  // Without recursion: a trace may be as deep as it likes.
  const open = [...root.children.values()].reverse().map((node) => ({ node, depth: 0 }));
  for (let next = open.pop(); next; next = open.pop()) {
    const { node, depth } = next;
    found.push({ name: node.name, service: node.service, depth, sides: node.sides });
    open.push(...[...node.children.values()].reverse().map((child) => ({ node: child, depth: depth + 1 })));
  }
  return found;
}
