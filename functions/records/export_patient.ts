// From the patient's row of the registry to a FHIR Patient.

import type { Address, HumanName, Identifier, Patient } from "@medplum/fhirtypes";
import { DEFAULT_SOURCE_SYSTEM } from "./import_plan.ts";

/** Columns of `patients` that an export reads; null where the registry says nothing. */
export interface RegistryRow {
  first_name: string | null;
  last_name: string | null;
  /** `YYYY-MM-DD`. */
  date_of_birth: string | null;
  gender: Patient["gender"] | null;
  city: string | null;
  state: string | null;
  postal_code: string | null;
  country: string | null;
}

/** Who the patient is in a system that bundles were imported from. */
export interface SourceIdentifier {
  system: string;
  value: string;
}

/** What of the registry is encrypted, in plain text. */
export interface ContactFields {
  phone?: string;
  /** Address lines, as one text. */
  address?: string;
}

/**
 * Builds the Patient; members that are undefined go when it is written as JSON.
 *
 * It has no id: the bundle knows it by its `fullUrl`, and an id would be taken, where the bundle is
 * imported, for a number of the source system, which it is not.
 *
 * @param contact Decrypted fields: telephone and address lines go out when given.
 */
export function toPatient(
  row: RegistryRow,
  identifiers: SourceIdentifier[],
  contact: ContactFields = {},
): Patient {
  const identifier: Identifier[] = identifiers.filter(({ system }) =>
    system !== DEFAULT_SOURCE_SYSTEM
  ).map(({ system, value }) => ({ system, value }));
  const name: HumanName = {
    family: text(row.last_name),
    given: listOf(text(row.first_name)),
  };
  const address: Address = {
    line: listOf(text(contact.address)),
    city: text(row.city),
    state: text(row.state),
    postalCode: text(row.postal_code),
    country: text(row.country),
  };
  const phone = text(contact.phone);
  return {
    resourceType: "Patient",
    identifier: identifier.length > 0 ? identifier : undefined,
    name: listUnlessEmpty(name),
    telecom: phone === undefined ? undefined : [{ system: "phone", value: phone }],
    gender: row.gender ?? undefined,
    birthDate: row.date_of_birth ?? undefined,
    address: listUnlessEmpty(address),
  };
}

/**
 * A text as FHIR takes it: no control characters, no blanks but the plain ones; undefined when nothing
 * is left.
 */
export function text(value: string | null | undefined): string | undefined {
  const cleaned = value?.replace(/[^\S ]|\p{Cc}/gu, " ").trim();
  return cleaned === "" ? undefined : cleaned;
}

function listOf(value: string | undefined): string[] | undefined {
  return value === undefined ? undefined : [value];
}

/** FHIR has no empty lists: undefined when no member of `item` says anything. */
function listUnlessEmpty<T extends object>(item: T): T[] | undefined {
  return Object.values(item).some((member) => member !== undefined) ? [item] : undefined;
}
