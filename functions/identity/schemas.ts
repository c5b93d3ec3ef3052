// What the routes of `identity` take and answer.

import { z } from "zod";

/** Most patients whose fields are read at once. */
const MAX_PATIENTS = 100;

const Phone = z.string().regex(
  /^[+0-9 ().x-]{4,40}$/,
  "Must be 4 to 40 digits, blanks and signs of + ( ) . x -",
);

/** A text of 1 to `most` characters, counted as the database counts. */
function text(most: number) {
  const rule = `Must have 1 to ${most} characters`;
  return z.string().min(1, rule).refine((value) => [...value].length <= most, rule);
}

const Address = text(500);
const PolicyNumber = text(100);

/** Body of `PATCH /identity/patient`: what is left out stays, null empties. */
export const PatchPatientBody = z.strictObject({
  phone: Phone.nullable().optional(),
  address: Address.nullable().optional(),
  insurance_policy_number: PolicyNumber.nullable().optional(),
  emergency_contact_phone: Phone.nullable().optional(),
}).refine((body) => Object.values(body).some((value) => value !== undefined), {
  message: "Must name at least one field",
});

/** The encrypted columns of a patient. */
export const FIELD_NAMES = PatchPatientBody.keyof().options;

export const PatchedPatient = z.strictObject({
  patient_id: z.guid(),
  updated: z.array(z.enum(FIELD_NAMES)),
});

/** Body of `POST /identity/patients/read`. */
export const ReadPatientsBody = z.strictObject({
  patient_ids: z.array(z.guid()).min(1).max(MAX_PATIENTS),
});

const Field = z.string().nullable();

export const PatientFields = z.strictObject({
  id: z.guid(),
  phone: Field,
  address: Field,
  insurance_policy_number: Field,
  emergency_contact_phone: Field,
});

/** Body of `POST /identity/patients/search`: one of the two. */
export const SearchPatientsBody = z.strictObject({
  phone: Phone.optional(),
  insurance_policy_number: PolicyNumber.optional(),
}).refine(
  ({ phone, insurance_policy_number }) =>
    (phone === undefined) !== (insurance_policy_number === undefined),
  { message: "Must have either phone or insurance_policy_number" },
);

export const FoundPatient = z.strictObject({
  id: z.guid(),
  first_name: z.string().nullable(),
  last_name: z.string().nullable(),
});
