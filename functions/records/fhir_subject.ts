// Whose history a bundle is: one person's. A bundle with two patients, or with a resource about
// somebody else, is refused whole, because a wrong row in a history can kill.

import { AppError } from "../_shared/errors.ts";
import type { BundleEntry } from "./fhir_bundle.ts";
import {
  isClinicalType,
  isObject,
  type JsonObject,
  SUBJECT_ELEMENTS,
  type UncheckedResource,
} from "./fhir_types.ts";

/** A resource that does not say whom it is about, although it has the element for it. */
export interface NamelessSubject {
  index: number;
  path: string;
}

export interface SubjectCheck {
  /** The bundle's Patient, if it has one. */
  patient: BundleEntry & { resource: UncheckedResource } | null;
  /** Whom the resources are about, in a bundle without a Patient; null when none of them says it. */
  subject: Name | null;
  nameless: NamelessSubject[];
}

/**
 * Checks that every clinical resource is about the bundle's one Patient or, when it has none, that
 * all are about the same one. A resource without a subject is about the person whose bundle it is.
 *
 * @throws {AppError} `wrong_patient`, with the place of the first resource about somebody else.
 */
export function checkSubjects(entries: BundleEntry[]): SubjectCheck {
  const patients = entries.filter((entry): entry is NonNullable<SubjectCheck["patient"]> =>
    entry.resource?.resourceType === "Patient"
  );
  const [patient = null, second] = patients;
  if (second) {
    throw new AppError("wrong_patient", "The bundle holds more than one patient", {
      details: [{
        path: `Bundle.entry[${second.index}].resource`,
        message: "Is a second patient",
      }],
    });
  }
  const nameless: NamelessSubject[] = [];
  let subject: Name | null = null;
  const isPatient = patient && personOf(patient);
  const isSamePerson = (name: Name) =>
    isPatient ? isPatient(name) : isSameName(subject ??= name, name);
  for (const { index, resource } of entries) {
    if (!resource || !isClinicalType(resource.resourceType)) continue;
    const element = SUBJECT_ELEMENTS[resource.resourceType];
    const subject = resource[element];
    // What is no Reference at all is for the validator to report.
    if (!isObject(subject)) continue;
    const name = nameIn(subject);
    if (name === null) {
      nameless.push({ index, path: `${resource.resourceType}.${element}` });
    } else if (!isSamePerson(name)) {
      throw new AppError("wrong_patient", "A resource of the bundle is about somebody else", {
        details: [{
          path: `Bundle.entry[${index}].resource.${element}`,
          message: patient
            ? "Is not the patient of the bundle"
            : "Is not the patient of the others",
        }],
      });
    }
  }
  return { patient, subject, nameless };
}

/** How a reference names somebody: by address, or by an identifier such as a patient number. */
export type Name = { address: string } | { identifier: string };

/** Reads the name in a Reference; null when it has none that can be compared. */
function nameIn({ reference, identifier }: JsonObject): Name | null {
  if (typeof reference === "string") {
    const [, query] = /^Patient\?identifier=(.+)$/.exec(reference) ?? [];
    if (query !== undefined) return { identifier: decoded(query) };
    // Within the resource itself: nobody outside can tell who that is.
    if (reference.startsWith("#")) return null;
    return { address: reference.replace(/\/_history\/[^/]*$/, "") };
  }
  const key = identifierKey(identifier);
  return key === null ? null : { identifier: key };
}

function decoded(query: string): string {
  try {
    return decodeURIComponent(query);
  } catch {
    return query;
  }
}

/** An identifier as FHIR searches for it: `system|value`. */
function identifierKey(identifier: unknown): string | null {
  if (!isObject(identifier) || typeof identifier.value !== "string") return null;
  return `${typeof identifier.system === "string" ? identifier.system : ""}|${identifier.value}`;
}

/** Recognizes the bundle's Patient under every name that the bundle gives it. */
function personOf({ fullUrl, resource }: NonNullable<SubjectCheck["patient"]>) {
  const addresses = new Set<string>();
  const isWebAddress = /^https?:/.test(fullUrl ?? "");
  if (fullUrl !== null) addresses.add(fullUrl);
  if (typeof resource.id === "string") {
    addresses.add(`Patient/${resource.id}`);
    addresses.add(`urn:uuid:${resource.id}`);
  }
  const tail = /(?:^urn:uuid:|\/Patient\/)([^/]+)$/.exec(fullUrl ?? "")?.[1];
  if (tail !== undefined) addresses.add(`Patient/${tail}`);
  const identifiers = new Set(
    (Array.isArray(resource.identifier) ? resource.identifier : []).map(identifierKey),
  );
  return (name: Name): boolean => {
    if ("identifier" in name) return identifiers.has(name.identifier);
    if (addresses.has(name.address)) return true;
    // An address on the web names this patient only while the bundle gives no other for it.
    const [, relative] = /^https?:.*\/(Patient\/[^/]+)$/.exec(name.address) ?? [];
    return !isWebAddress && relative !== undefined && addresses.has(relative);
  };
}

function isSameName(one: Name, other: Name): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
