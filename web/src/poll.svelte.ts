// Asks again and again while somebody looks.
import { Refused, ask, type Place } from './api';

export interface Polled<T> {
  readonly answer: T | null;
  readonly problem: string | null;
  /** Where in the query the problem is. */
  readonly place: Place | null;
  /** The answer is to a question that has changed meanwhile. */
  readonly waiting: boolean;
}

/** Asks when `path` changes, and every so many milliseconds; `null`: asks nothing. `every` of 0: asks once. */
export function polled<T>(path: () => string | null, every: () => number): Polled<T> {
  let answer = $state.raw<T | null>(null);
  let problem = $state<string | null>(null);
  let place = $state.raw<Place | null>(null);
  let waiting = $state(false);

  $effect(() => {
    const asked = path();
    const pause = every();
    if (asked === null) return;
    const stop = new AbortController();
    waiting = true;
    let missed = false;
    void (async () => {
      for (;;) {
        try {
          answer = await ask<T>(asked, stop.signal);
          problem = place = null;
          missed = false;
        } catch (error) {
          if (stop.signal.aborted) return;
          // That nobody answers is said at the top of the page, for all views.
          problem = error instanceof Refused ? error.message : null;
          missed = !(error instanceof Refused);
          place = error instanceof Refused ? error.place : null;
        }
        waiting = false;
        // An agent that does not answer may come back.
        if (pause === 0 && problem === null && !missed) return;
        do {
          await new Promise((resolve) => setTimeout(resolve, pause || 2000));
          if (stop.signal.aborted) return;
        } while (document.visibilityState !== 'visible');
      }
    })();
    return () => stop.abort();
  });

  return {
    get answer() {
      return answer;
    },
    get problem() {
      return problem;
    },
    get place() {
      return place;
    },
    get waiting() {
      return waiting;
    },
  };
}
