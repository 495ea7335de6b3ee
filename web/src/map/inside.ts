// The software inside of a service, from samples of its stacks: packages, their functions, their lines.
import type { Call, Flame } from '../api';

export interface FunctionTime {
  name: string;
  place: string;
  cpu_ns: number;
  off_ns: number;
}

export interface PackageTime {
  name: string;
  cpu_ns: number;
  off_ns: number;
  functions: FunctionTime[];
}

/** `net/http` of `net/http.(*conn).serve`; what is in brackets is not Go. */
export function packageOf(name: string): string {
  if (name.startsWith('[')) return name.includes('kernel') ? '[kernel]' : name;
  const slash = name.lastIndexOf('/') + 1;
  const dot = name.indexOf('.', slash);
  return dot < 0 ? name : name.slice(0, dot);
}

export function inside(cpu: Flame, off: Flame): PackageTime[] {
  const functions = new Map<string, FunctionTime>();
  const add = (calls: Call[], which: 'cpu_ns' | 'off_ns'): void => {
    for (const call of calls) {
      const own = call.value_ns - call.calls.reduce((sum, below) => sum + below.value_ns, 0);
      const known = functions.get(call.function) ?? { name: call.function, place: call.line ? `${call.file}:${call.line}` : call.file, cpu_ns: 0, off_ns: 0 };
      known[which] += Math.max(0, own);
      functions.set(call.function, known);
      add(call.calls, which);
    }
  };
  add(cpu.calls, 'cpu_ns');
  add(off.calls, 'off_ns');
  const packages = new Map<string, PackageTime>();
  for (const one of functions.values()) {
    const name = packageOf(one.name);
    const known = packages.get(name) ?? { name, cpu_ns: 0, off_ns: 0, functions: [] };
    packages.set(name, known);
    known.cpu_ns += one.cpu_ns;
    known.off_ns += one.off_ns;
    known.functions.push(one);
  }
  const time = (one: { cpu_ns: number; off_ns: number }): number => one.cpu_ns + one.off_ns;
  const found = [...packages.values()].filter((one) => time(one) > 0).sort((a, b) => time(b) - time(a));
  for (const one of found) one.functions = one.functions.filter((each) => time(each) > 0).sort((a, b) => time(b) - time(a));
  return found;
}
