// Under which id and address a resource is known: importing it again finds the record it became, and
// an export leaves the references between resources as they are.

import { createHash } from "node:crypto";
import type { ClinicalResource } from "./fhir_types.ts";

/**
 * Id of a resource in its source system: `Condition/123`; for want of an id what `fullUrl` says; for
 * want of both a digest of the content, so that the same resource is the same record, and a changed
 * one is a new record.
 */
export function sourceIdOf(resource: ClinicalResource, fullUrl: string | null): string {
  const { resourceType: type, id } = resource;
  if (id) return `${type}/${id}`;
  const [uuid] = /^urn:uuid:[0-9a-f-]{36}$/i.exec(fullUrl ?? "") ?? [];
  if (uuid) return uuid.toLowerCase();
  const [, tail] = /\/([A-Za-z0-9.-]{1,64})$/.exec(fullUrl ?? "") ?? [];
  if (tail && fullUrl?.endsWith(`/${type}/${tail}`)) return `${type}/${tail}`;
  return `${type}/sha256:${createHash("sha256").update(canonicalJson(resource)).digest("hex")}`;
}

/** Addresses that name a resource wherever they are read. */
const ABSOLUTE_URL = /^(?:urn:uuid:|urn:oid:|https?:\/\/)[^\s\p{Cc}\p{Cs}]+$/u;
const MAX_URL_LENGTH = 500;

/** The `fullUrl` to keep, by which other resources refer to this one; null when it is of no use. */
export function sourceUrlOf(fullUrl: string | null): string | null {
  const is_kept = fullUrl !== null && fullUrl.length <= MAX_URL_LENGTH &&
    ABSOLUTE_URL.test(fullUrl);
  return is_kept ? fullUrl : null;
}

/** JSON whose object keys are in order, so that equal values have equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part) => {
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(
      Object.entries(part).toSorted(([a], [b]) => a < b ? -1 : 1),
    );
  });
}
