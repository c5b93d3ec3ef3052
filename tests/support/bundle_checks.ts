// What tests look at in exported bundles: that they are valid, and that they say the same.

import { assertEquals } from "@std/assert";
import { parseExactly } from "../../functions/_shared/json.ts";
import { canonicalJson } from "../../functions/records/fhir_source.ts";
import { isClinicalType, isUncheckedResource } from "../../functions/records/fhir_types.ts";
import { validateResource } from "../../functions/records/fhir_validate.ts";
import type { Fhir } from "../functions/bundles.ts";

/** What the entries say, by title; a Patient by its type. */
export function titlesOf({ entries }: { entries: { resource: Fhir }[] }): string[] {
  return entries.map(({ resource }) =>
    resource.resourceType === "Patient"
      ? "Patient"
      : resource.description ?? resource.code?.text ?? resource.id
  ).toSorted();
}

/** Fails unless the text is a bundle whose every entry passes the validator of imports. */
export function assertValidBundle(text: string): void {
  const { resourceType, type, timestamp, entry = [], ...rest } = JSON.parse(text);
  assertEquals([resourceType, type, rest], ["Bundle", "collection", {}]);
  assertEquals(new Date(timestamp).toISOString(), timestamp);
  for (const { fullUrl, resource, ...others } of entry) {
    assertEquals([typeof fullUrl, others], ["string", {}]);
    const result = isUncheckedResource(resource) && validateResource(resource);
    assertEquals(result && "fault" in result ? result.fault : null, null, fullUrl);
  }
  const urls = entry.map(({ fullUrl }: Fhir) => fullUrl);
  assertEquals(urls.length, new Set(urls).size, "no two entries have the same fullUrl");
}

/**
 * The clinical resources of a bundle in one form, whatever their order: each as text, with numbers as
 * they are written, by fullUrl. Addresses of the patient are replaced by `patient`.
 */
export function resourcesIn(text: string, patientUrl: string): Record<string, string> {
  const read = parseExactly(text.replaceAll(JSON.stringify(patientUrl), '"patient"')) as Fhir;
  return Object.fromEntries(
    (read.entry as Fhir[])
      .filter(({ resource }) => isClinicalType(resource.resourceType))
      .map(({ fullUrl, resource }) => [fullUrl, canonicalJson(resource)]),
  );
}

/** Every reference of a bundle's clinical resources, as `fullUrl element → target`. */
export function referencesIn(text: string): string[] {
  const found: string[] = [];
  const visit = (value: unknown, from: string) => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, part] of Object.entries(value)) {
      if (key === "reference" && typeof part === "string") found.push(`${from} → ${part}`);
      else visit(part, Array.isArray(value) ? from : `${from}.${key}`);
    }
  };
  for (const { fullUrl, resource } of JSON.parse(text).entry) {
    if (isClinicalType(resource.resourceType)) visit(resource, fullUrl);
  }
  return found.toSorted();
}
