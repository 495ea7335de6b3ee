// Whether the agent answers. Every question tells, so that one line at the top of the page can say it for all views.

let goneSince = $state.raw<Date | null>(null);

export const connection = {
  /** Since when it has not answered; `null`: it did, when it was asked last. */
  get goneSince(): Date | null {
    return goneSince;
  },
  answered(): void {
    goneSince = null;
  },
  failed(): void {
    goneSince ??= new Date();
  },
};
