// From a FHIR Patient to the registry's columns. Each value is taken only when it fits its column:
// a bundle must not fail because of a telephone number.

import type { Address, HumanName } from "@medplum/fhirtypes";
import { isStorable } from "../_shared/json.ts";
import type { Name } from "./fhir_subject.ts";
import { isObject, type JsonObject, type UncheckedResource } from "./fhir_types.ts";

/** Who the patient is in the source system. */
export interface PatientName {
  /** Value of the identifier that belongs to the system, else the resource's own id. */
  source_id?: string;
  /** The resource's own id. */
  resource_id?: string;
}

/** Somebody to whom the resources of a bundle without a Patient refer. */
export interface PatientReference extends PatientName {
  is_reference: true;
}

/** Columns of `patients` that an import may fill, and who the patient is in the source system. */
export interface PatientFields extends PatientName {
  first_name?: string;
  last_name?: string;
  date_of_birth?: string;
  gender?: string;
  phone?: string;
  address?: string;
  city?: string;
  state?: string;
  postal_code?: string;
  country?: string;
}

const GENDERS = ["male", "female", "other", "unknown"];
const PHONE = /^[+0-9 ().x-]{4,40}$/;
const DAY = /^\d{4}-\d{2}-\d{2}$/;
const FIRST_BIRTHDAY = "1880-01-01";

/**
 * Maps a Patient, valid or not: what does not fit is left out.
 *
 * @param today `YYYY-MM-DD`; nobody is born after it.
 */
export function toPatientFields(
  patient: UncheckedResource,
  sourceSystem: string,
  today: string,
): PatientFields {
  const name = preferred(objects(patient.name), ["official", "usual"], ["old", "maiden"]);
  const address = preferred(objects(patient.address), ["home"], ["old"]);
  const phone = preferred(
    objects(patient.telecom).filter(({ system, value }) =>
      system === "phone" && typeof value === "string" && PHONE.test(value)
    ),
    ["mobile", "home"],
    ["old"],
  );
  const fields: PatientFields = {
    source_id: sourceIdOf(patient, sourceSystem),
    resource_id: line(patient.id, 64),
    first_name: line(texts(name?.given)[0], 100),
    last_name: line(name?.family, 100),
    date_of_birth: birthday(patient.birthDate, today),
    gender: GENDERS.find((gender) => gender === patient.gender),
    phone: line(phone?.value, 40),
    address: line(texts(address?.line).join(", "), 500),
    city: line(address?.city, 100),
    state: line(address?.state, 100),
    postal_code: line(address?.postalCode, 20),
    country: line(address?.country, 100),
  };
  return fields;
}

/**
 * Who the patient is in the source system: the identifier that belongs to it, else the resource's
 * own id. Ids that a bundle makes up for itself name nobody.
 */
function sourceIdOf({ identifier, id }: UncheckedResource, sourceSystem: string) {
  const own = objects(identifier).find(({ system }) => system === sourceSystem);
  return line(own?.value, 200) ?? line(id, 64);
}

/**
 * Who a bundle without a Patient is about, in the source system; null when it does not say, or only
 * by an address that it made up for itself.
 */
export function toPatientReference(
  subject: Name,
  sourceSystem: string,
): PatientReference | null {
  if ("address" in subject) {
    const [, id] = /(?:^|\/)Patient\/([^/]+)$/.exec(subject.address) ?? [];
    const resource_id = line(id, 64);
    return resource_id === undefined ? null : { is_reference: true, resource_id };
  }
  const prefix = `${sourceSystem}|`;
  if (!subject.identifier.startsWith(prefix)) return null;
  const source_id = line(subject.identifier.slice(prefix.length), 200);
  return source_id === undefined ? null : { is_reference: true, source_id };
}

/** First of the preferred uses, else the first that is not to be avoided. */
function preferred(
  items: JsonObject[],
  uses: NonNullable<HumanName["use"] | Address["use"] | "mobile">[],
  avoided: string[],
): JsonObject | undefined {
  for (const use of uses) {
    const found = items.find((item) => item.use === use);
    if (found) return found;
  }
  return items.find(({ use }) => !avoided.includes(String(use)));
}

function birthday(value: unknown, today: string): string | undefined {
  if (typeof value !== "string" || !DAY.test(value)) return undefined;
  const is_real = new Date(`${value}T00:00:00Z`).toJSON()?.startsWith(value);
  return is_real && FIRST_BIRTHDAY <= value && value <= today ? value : undefined;
}

/** A text on one line, when it is one and fits. */
function line(value: unknown, maxLength: number): string | undefined {
  if (typeof value !== "string" || !isStorable(value)) return undefined;
  const text = value.replace(/[\s\p{Cc}]+/gu, " ").trim();
  return text.length > 0 && [...text].length <= maxLength ? text : undefined;
}

function objects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
