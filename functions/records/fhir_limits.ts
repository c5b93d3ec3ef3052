// Limits on one resource, checked before it is validated: what no real resource exceeds, what would
// make validation slow, and what PostgreSQL cannot store.

import { isStorable } from "../_shared/json.ts";
import type { FhirFault, UncheckedResource } from "./fhir_types.ts";

/** Most items of one array. */
const MAX_ITEMS = 1_000;
/** Most resources within a resource: each reference of it is compared with each of them. */
const MAX_CONTAINED = 100;
/** Most values of a resource, nested ones included. */
const MAX_VALUES = 20_000;
/** Longest name of an element. FHIR's longest has 43 characters. */
const MAX_KEY_LENGTH = 64;
/** Longest text that is an item of an array; FHIR has names and address lines there. */
const MAX_ITEM_LENGTH = 10_000;

/** Finds the first limit that a resource exceeds; undefined when it keeps them all. */
export function findExcess(resource: UncheckedResource): FhirFault | undefined {
  if (Array.isArray(resource.contained) && resource.contained.length > MAX_CONTAINED) {
    return {
      path: `${resource.resourceType}.contained`,
      message: `Number of contained resources must be <= ${MAX_CONTAINED}`,
    };
  }
  let values = 0;
  const visit = (value: unknown, path: string): FhirFault | undefined => {
    if (++values > MAX_VALUES) {
      return { path: resource.resourceType, message: `Number of values must be <= ${MAX_VALUES}` };
    }
    if (typeof value === "string") {
      if (isStorable(value)) return undefined;
      return { path, message: "Text has a NUL character or half a surrogate pair" };
    }
    if (Array.isArray(value)) return visitItems(value, path);
    if (typeof value !== "object" || value === null) return undefined;
    for (const [key, part] of Object.entries(value)) {
      if (key.length > MAX_KEY_LENGTH || !isStorable(key)) {
        return { path, message: "Has an element that FHIR R4 does not define" };
      }
      const fault = visit(part, `${path}.${key}`);
      if (fault) return fault;
    }
  };
  const visitItems = (items: unknown[], path: string): FhirFault | undefined => {
    if (items.length > MAX_ITEMS) {
      return { path, message: `Number of items must be <= ${MAX_ITEMS}` };
    }
    for (const [index, item] of items.entries()) {
      const at = `${path}[${index}]`;
      if (typeof item === "string" && item.length > MAX_ITEM_LENGTH) {
        return { path: at, message: `Length of a text in a list must be <= ${MAX_ITEM_LENGTH}` };
      }
      const fault = visit(item, at);
      if (fault) return fault;
    }
  };
  return visit(resource, resource.resourceType);
}
