// The keyboard: each view says which keys it has and what they do; the sheet behind `?` lists them.
import { onMount } from 'svelte';

export interface Key {
  /** As `KeyboardEvent.key` has them; the first one is shown. */
  keys: string[];
  what: string;
  /** Whether it was taken; nothing: it was. */
  run: (event: KeyboardEvent) => boolean | void;
}

interface Group {
  name: string;
  keys: Key[];
}

let groups: Group[] = $state.raw([]);

/** The keys of a component, as long as it is there. Later ones come before earlier ones. */
export function useKeys(name: string, keys: Key[]): void {
  onMount(() => {
    const group = { name, keys };
    groups = [...groups, group];
    return () => (groups = groups.filter((other) => other !== group));
  });
}

export const keyboard = {
  get groups(): Group[] {
    return groups;
  },
  /** Handles a key of the window. */
  press(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as HTMLElement;
    if (target.closest('input, select, textarea')) {
      if (event.key === 'Escape') target.blur();
      return;
    }
    if (['Enter', ' '].includes(event.key) && target.closest('button, a, summary')) return;
    for (const group of groups.toReversed()) {
      for (const key of group.keys) {
        if (key.keys.includes(event.key) && key.run(event) !== false) {
          event.preventDefault();
          return;
        }
      }
    }
  },
};

const NAMES: Record<string, string> = {
  ArrowUp: '↑', ArrowDown: '↓', ArrowLeft: '←', ArrowRight: '→', Escape: 'Esc', ' ': 'Space', PageUp: 'PgUp', PageDown: 'PgDn',
};

export function keyName(key: string): string {
  return NAMES[key] ?? key;
}
