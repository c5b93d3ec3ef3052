// What the routes of `keys` take and answer.

import { z } from "zod";

const Count = z.int().min(0);

/** Of routes that take no body; `{}` is fine. */
export const EmptyBody = z.strictObject({});

const KeyVersion = z.strictObject({
  key_id: z.string().meta({ description: "Name of the key-encryption key" }),
  key_version: z.int().min(1),
});

export const Rotation = z.strictObject({
  current: KeyVersion,
  rewrapped: Count,
  failed: Count.meta({ description: "Keys that could not be opened; they stay as they are" }),
  remaining: Count.meta({ description: "Keys still under an older version: call again" }),
});

export const Status = z.strictObject({
  current: KeyVersion,
  current_since: z.iso.datetime().nullable(),
  due_at: z.iso.datetime().nullable(),
  is_overdue: z.boolean().meta({
    description: "A version older than 90 days is current, or still wraps a data key",
  }),
  to_rewrap: Count,
  versions: z.array(KeyVersion.extend({
    first_used_at: z.iso.datetime(),
    age_days: Count,
    is_current: z.boolean(),
    data_keys: z.strictObject({ record_file: Count, patient_fields: Count }),
    erased: Count,
  })),
});
