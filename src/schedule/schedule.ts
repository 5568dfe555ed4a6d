/** When a group's scheduled rotations fall due. Pure: every function takes the time it is asked about. */

export type Weekday = 'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun';

/** Times of day, in minutes since midnight in the schedule's zone; `toMinute <= fromMinute` runs over midnight. */
export interface Window {
  readonly fromMinute: number;
  readonly toMinute: number;
  /** Days on which the window opens. */
  readonly days: readonly Weekday[];
}

interface ScheduleBase {
  /** IANA name. */
  readonly timezone: string;
  /** Scheduled rotations happen only inside it; null: at any time. */
  readonly window: Window | null;
}

export type Schedule =
  | (ScheduleBase & { readonly kind: 'every'; readonly everyMs: number })
  | (ScheduleBase & { readonly kind: 'cron'; readonly cron: string });
