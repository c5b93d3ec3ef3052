// The envelope of an import: a FHIR R4 Bundle and its entries, before any resource is looked at.

import { z } from "zod";
import { AppError } from "../_shared/errors.ts";
import { isObject, isUncheckedResource, type UncheckedResource } from "./fhir_types.ts";

/** Bundles that hold resources to keep, as opposed to search results or histories. */
const BUNDLE_TYPES = ["collection", "transaction", "batch", "document"] as const;
const MAX_ENTRIES = 50_000;

/** Elements of a Bundle; those that an import does not read may hold anything. */
export const BundleBody = z.strictObject({
  resourceType: z.literal("Bundle"),
  id: z.string().optional(),
  meta: z.unknown().optional(),
  implicitRules: z.string().optional(),
  language: z.string().optional(),
  identifier: z.looseObject({ system: z.string().optional() }).optional(),
  type: z.enum(BUNDLE_TYPES),
  timestamp: z.string().optional(),
  total: z.int().optional(),
  link: z.array(z.unknown()).optional(),
  entry: z.array(z.unknown()).max(MAX_ENTRIES).optional(),
  signature: z.unknown().optional(),
}).meta({
  id: "FhirBundle",
  description: "A FHIR R4 Bundle, http://hl7.org/fhir/R4/bundle.html, up to 20 MiB",
});

/** One entry; `resource` is null when there is none that says its type. */
export interface BundleEntry {
  /** Place in `Bundle.entry`, from 0. */
  index: number;
  fullUrl: string | null;
  resource: UncheckedResource | null;
}

export interface ReadBundle {
  identifierSystem: string | undefined;
  entries: BundleEntry[];
}

/**
 * Reads a Bundle and takes its entries apart.
 *
 * @throws {AppError} `invalid_request` when it is no Bundle, of another type, or too long.
 */
export function readBundle(value: unknown): ReadBundle {
  const result = BundleBody.safeParse(value);
  if (!result.success) {
    throw new AppError("invalid_request", "The body is not a FHIR R4 Bundle that can be imported", {
      details: result.error.issues.map(({ code, path, message }) => ({
        path: ["Bundle", ...path].join("."),
        message: code === "unrecognized_keys" ? "Unknown field" : message,
      })),
    });
  }
  const { identifier, entry = [] } = result.data;
  return { identifierSystem: identifier?.system, entries: entry.map(readEntry) };
}

function readEntry(value: unknown, index: number): BundleEntry {
  if (!isObject(value)) return { index, fullUrl: null, resource: null };
  const { fullUrl, resource } = value;
  return {
    index,
    fullUrl: typeof fullUrl === "string" ? fullUrl : null,
    resource: isUncheckedResource(resource) ? resource : null,
  };
}
