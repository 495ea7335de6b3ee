// The software as a tree: services, their packages, functions, source lines, each with the time that was spent in it.
import type { SoftwareLine } from '../api';

export interface Branch {
  /** What it is called below the one above. */
  name: string;
  /** Names from the top to it. */
  path: string[];
  calls: number;
  time_ns: number;
  parts_ns: Record<string, number>;
  /** The most time first; none below a source line. */
  below: Branch[];
}

/** What a path's names are, from the top. */
export const LEVELS = ['service', 'package', 'function', 'line'] as const;

function branch(name: string, path: string[]): Branch {
  return { name, path, calls: 0, time_ns: 0, parts_ns: {}, below: [] };
}

/** `(*Shelf).Reserve` of `shop/stock.(*Shelf).Reserve` in `shop/stock`. */
export function inPackage(name: string, of: string): string {
  return name.startsWith(`${of}.`) ? name.slice(of.length + 1) : name;
}

function placeOf({ file, line }: SoftwareLine): string {
  if (file === '') return 'source not known';
  return line > 0 ? `${file}:${line}` : file;
}

export function grow(lines: SoftwareLine[]): Branch {
  const root = branch('', []);
  const known = new Map<string, Branch>();
  for (const line of lines) {
    let above = root;
    add(root, line);
    for (const name of [line.service, line.package, line.function, placeOf(line)]) {
      const path = [...above.path, name];
      const key = path.join('\n');
      let next = known.get(key);
      if (!next) {
        next = branch(name, path);
        known.set(key, next);
        above.below.push(next);
      }
      add(next, line);
      above = next;
    }
  }
  for (const one of [root, ...known.values()]) one.below.sort((a, b) => b.time_ns - a.time_ns);
  return root;
}

function add(to: Branch, line: SoftwareLine): void {
  to.calls += line.calls;
  to.time_ns += line.time_ns;
  for (const [part, ns] of Object.entries(line.parts_ns)) to.parts_ns[part] = (to.parts_ns[part] ?? 0) + ns;
}

/** The branch at a path, or the nearest above it that is there. */
export function find(root: Branch, path: string[]): Branch {
  let at = root;
  for (const name of path) {
    const next = at.below.find((one) => one.name === name);
    if (!next) break;
    at = next;
  }
  return at;
}

/** The part of the anatomy with the most time; nothing where none was measured. */
export function dominant(parts: Record<string, number>): string | null {
  return Object.entries(parts).reduce<[string, number] | null>((most, part) => (most && most[1] >= part[1] ? most : part), null)?.[0] ?? null;
}
