// The parts of the anatomy, in the order in which a bar shows them; names as in crates/record/src/layout.rs.
import type { Anatomy } from './api';

export interface Group {
  name: string;
  meaning: string;
  parts: string[];
}

export const GROUPS: Group[] = [
  { name: 'on CPU', meaning: 'running: the rest of wall time when both halves were measured', parts: ['on_cpu', 'cgo', 'minor_fault'] },
  { name: 'kernel run queue', meaning: 'its thread could run, and waited for a CPU, or for CPU time of its control group', parts: ['run_queue', 'throttled'] },
  { name: 'Go runnable', meaning: 'the goroutine could run, and waited for a thread, or for the world to be started again', parts: ['go_runnable', 'go_stopped'] },
  {
    name: 'Go waits',
    meaning: 'the goroutine was parked: for the network, a channel, a lock, a timer …',
    parts: ['go_network', 'network_unread', 'go_send', 'go_channel', 'go_select', 'go_sync', 'go_sleep', 'go_gc', 'go_coroutine', 'go_other'],
  },
  {
    name: 'blocked in the kernel',
    meaning: 'its thread was in a system call or waited for a page',
    parts: ['blocked_file', 'blocked_network', 'blocked_futex', 'blocked_lock', 'blocked_sleep', 'blocked_other', 'block_io', 'major_fault'],
  },
];

const ORDER = new Map(GROUPS.flatMap((group) => group.parts).map((part, index) => [part, index]));

export interface Part {
  name: string;
  ns: number;
}

/** Parts that are not 0, in the order of the groups; unknown ones last. */
export function inOrder(parts: Record<string, number>): Part[] {
  return Object.entries(parts)
    .map(([name, ns]) => ({ name, ns }))
    .filter((part) => part.ns > 0)
    .sort((a, b) => place(a.name) - place(b.name) || a.name.localeCompare(b.name));
}

/** Where a part stands among the others. */
export function place(part: string): number {
  return ORDER.get(part) ?? 99;
}

/** Class of a part's colour. */
export function colour(part: string): string {
  // What stacks say of time that no CPU was used: most of it is waiting in Go.
  if (part === 'off_cpu') return 'part-go_network';
  return ORDER.has(part) ? `part-${part}` : 'part-unknown';
}

/** What is missing: halves of the anatomy that nobody measured. */
export function unmeasured(anatomy: Anatomy): string | null {
  const names = Object.keys(anatomy.parts_ns);
  const go = names.some((name) => name.startsWith('go_'));
  const kernel = names.some((name) => name === 'run_queue' || name.startsWith('blocked_') || name === 'major_fault');
  if (names.includes('on_cpu') || (go && kernel)) return null;
  if (go) return 'The kernel half was not measured: run tandem doctor to see why.';
  if (kernel) return 'The Go half was not measured: the program was not woven.';
  return null;
}
