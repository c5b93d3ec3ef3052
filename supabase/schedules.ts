// The schedules of the product: which route the queue calls, and when. `deno task schedules` brings the
// queue to this list; the embedded stack does so at its start.

/** One schedule. */
export interface ProductSchedule {
  /** Name within the product. */
  id: string;
  /** Five fields, in UTC. */
  cron: string;
  /** Path of the function's route. */
  path: string;
  /** Retries after a failed call. What comes again in a minute needs none. */
  retries: number;
}

/** What the ids of the product's schedules begin with; others are left alone. */
export const ID_PREFIX = "beautiful-life.";

export const SCHEDULES: ProductSchedule[] = [
  { id: "audit-seal", cron: "* * * * *", path: "/audit/seal", retries: 0 },
  { id: "reminders-tick", cron: "* * * * *", path: "/reminders/tick", retries: 0 },
  { id: "notifications-deliver", cron: "* * * * *", path: "/notifications/deliver", retries: 0 },
  // A call takes a batch and may leave some: hourly, so that a day is always enough.
  { id: "keys-rotate", cron: "10 * * * *", path: "/keys/rotate", retries: 1 },
  { id: "records-sweep", cron: "40 * * * *", path: "/records/sweep", retries: 1 },
];
