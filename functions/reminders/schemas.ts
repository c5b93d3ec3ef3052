// Bodies and answers of `reminders`.

import { z } from "zod";
import { MAX_DATES } from "./recurrence.ts";

/** What the form of a rule or a wall-clock time is, `recurrence.ts` says, with the position. */
const LocalTime = z.string().max(40).describe("Wall-clock time without zone, 2026-03-08T02:30:00");

const SCHEDULE = {
  rrule: z.string().max(1000).nullable().default(null)
    .describe("Value of RRULE (RFC 5545) on wall-clock time; null: once"),
  starts_at_local: LocalTime,
  timezone: z.string().max(64).describe("IANA time zone"),
  rdate: z.array(LocalTime).max(MAX_DATES).default([]),
  exdate: z.array(LocalTime).max(MAX_DATES).default([]),
  cycle_days_on: z.int().min(1).max(366).nullable().default(null),
  cycle_days_off: z.int().min(1).max(366).nullable().default(null),
};

/** Body of `POST /reminders/preview`. */
export const PreviewBody = z.strictObject({
  ...SCHEDULE,
  shift_minutes: z.int().min(-1440).max(1440).default(0),
  count: z.int().min(1).max(100).default(10),
  after: z.iso.datetime({ offset: true }).optional()
    .describe("Occurrences after this instant; now when left out"),
});

/** Body of `POST /reminders`. */
export const CreateBody = z.strictObject({
  title: z.string().min(1).max(120),
  description: z.string().min(1).max(1000).nullable().default(null),
  reminder_type: z.enum([
    "medication",
    "appointment",
    "measurement",
    "hydration",
    "exercise",
    "other",
  ]),
  ...SCHEDULE,
  grace_minutes: z.int().min(1).max(1440).default(60),
  repeat_every_minutes: z.int().min(1).max(240).nullable().default(null),
  max_repeats: z.int().min(0).max(10).default(0),
  escalate_to: z.uuid().nullable().default(null),
  medication_id: z.uuid().nullable().default(null),
});
export type CreateBody = z.output<typeof CreateBody>;

/** Body of `PUT /reminders/:id`. */
export const UpdateBody = z.strictObject({
  ...CreateBody.shape,
  is_active: z.boolean().default(true),
});
export type UpdateBody = z.output<typeof UpdateBody>;

export const ReminderPath = z.strictObject({ id: z.uuid() });

export const TickBody = z.strictObject({});

const OccurrenceAnswer = z.strictObject({
  due_at: z.string().describe("UTC"),
  local: z.string().describe("What the wall clock shows"),
  offset: z.string().describe("For example +05:30"),
});

export const PreviewAnswer = z.strictObject({
  occurrences: z.array(OccurrenceAnswer),
});

export const ReminderAnswer = z.strictObject({
  id: z.uuid(),
  occurrences: z.array(OccurrenceAnswer).describe("The next ones, 16 at most"),
});

export const TickAnswer = z.strictObject({
  claimed: z.int().describe("Reminders that were due"),
  sent: z.int().describe("Occurrences that were sent"),
  missed: z.int().describe("Occurrences that came too late, or were never answered"),
  repeated: z.int().describe("Occurrences that were told again"),
  escalated: z.int(),
  refills: z.int(),
  expanded: z.int().describe("Reminders that were worked out further ahead"),
  is_drained: z.boolean().describe("Nothing was left over for the next call"),
});
