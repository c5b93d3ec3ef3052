// The shape of a resource against HL7's definitions: which elements it has and of which JSON type, and
// limits that no real resource exceeds. What passes here can be read as the type that it says it is,
// and has only names in it that FHIR knows; rules beyond the shape are the validator's.

import { isPrimitiveType, tryGetDataType } from "@medplum/core";
import { isStorable } from "../_shared/json.ts";
import { type FhirFault, isObject, type JsonObject, type UncheckedResource } from "./fhir_types.ts";

/** Most items of one list. */
const MAX_ITEMS = 1_000;
/**
 * Most items of lists that rules compare with other lists, item by item: resources within a resource
 * with its references, codings with those of components.
 */
const MAX_COMPARED_ITEMS = 100;
const COMPARED_TYPES = ["Resource", "Coding"];
/** Most values of a resource, nested ones included. */
const MAX_VALUES = 20_000;
/** Longest text that is an item of a list; FHIR has names and address lines there. */
const MAX_ITEM_LENGTH = 10_000;

/** Where a property of a JSON object belongs. */
interface Slot {
  /** Element of the definition: `value[x]` for the property `valueQuantity`. */
  element: string;
  /** Code of the data type, for example `Quantity`, `ObservationComponent` or `dateTime`. */
  type: string;
  is_list: boolean;
}

const slotsByType = new Map<string, Map<string, Slot>>();

/** The properties that an object of a type may have. */
function slotsOf(type: string): Map<string, Slot> {
  let slots = slotsByType.get(type);
  if (slots) return slots;
  slots = new Map();
  for (const [element, definition] of Object.entries(tryGetDataType(type)?.elements ?? {})) {
    const is_list = definition.isArray ?? false;
    for (const { code } of definition.type) {
      const name = element.replace("[x]", `${code.charAt(0).toUpperCase()}${code.slice(1)}`);
      slots.set(name, { element, type: code, is_list });
    }
  }
  slotsByType.set(type, slots);
  return slots;
}

/**
 * Finds the first thing that is wrong with the shape of a resource, whose definition and those of
 * the resources within it must be loaded.
 */
export function findShapeFault(resource: UncheckedResource): FhirFault | undefined {
  let value_count = 0;

  function visitObject(object: JsonObject, type: string, path: string): FhirFault | undefined {
    const slots = slotsOf(type);
    const elements = new Map<string, string>();
    const entries = Object.entries(object);
    if (entries.length === 0) return { path, message: "Invalid empty value" };
    for (const [key, value] of entries) {
      if (key === "resourceType" && value === type) continue;
      const name = key.startsWith("_") ? key.slice(1) : key;
      const slot = slots.get(name);
      if (!slot || (key !== name && !isPrimitiveType(slot.type))) {
        return { path, message: "Has an element that FHIR R4 does not define" };
      }
      if ((elements.get(slot.element) ?? name) !== name) {
        return { path, message: "Has two values of different types for one element" };
      }
      elements.set(slot.element, name);
      // `_birthDate` holds the extensions of the text in `birthDate`.
      const fault = visitProperty(
        value,
        key === name ? slot : { ...slot, type: "Element" },
        `${path}.${key}`,
      );
      if (fault) return fault;
    }
  }

  function visitProperty(value: unknown, slot: Slot, path: string): FhirFault | undefined {
    if (!slot.is_list) {
      if (Array.isArray(value)) return { path, message: "Expected single value for property" };
      return visitValue(value, slot.type, path);
    }
    if (!Array.isArray(value)) return { path, message: "Expected array of values for property" };
    if (value.length === 0) return { path, message: "Invalid empty value" };
    const max = COMPARED_TYPES.includes(slot.type) ? MAX_COMPARED_ITEMS : MAX_ITEMS;
    if (value.length > max) return { path, message: `Number of items must be <= ${max}` };
    for (const [index, item] of value.entries()) {
      const at = `${path}[${index}]`;
      // Within a list null stands for a text that has extensions only, or for a text that has none.
      if (item === null && (slot.type === "Element" || isPrimitiveType(slot.type))) continue;
      if (typeof item === "string" && item.length > MAX_ITEM_LENGTH) {
        return { path: at, message: `Length of a text in a list must be <= ${MAX_ITEM_LENGTH}` };
      }
      const fault = visitValue(item, slot.type, at);
      if (fault) return fault;
    }
  }

  function visitValue(value: unknown, type: string, path: string): FhirFault | undefined {
    if (++value_count > MAX_VALUES) {
      return { path: resource.resourceType, message: `Number of values must be <= ${MAX_VALUES}` };
    }
    if (isPrimitiveType(type)) return visitPrimitive(value, type, path);
    if (!isObject(value)) return { path, message: "Invalid JSON type: expected object" };
    if (type !== "Resource") return visitObject(value, type, path);
    const { resourceType } = value;
    const is_known = typeof resourceType === "string" && slotsOf(resourceType).size > 0;
    if (!is_known) return { path, message: "Is not a resource that may be contained here" };
    return visitId(value, path) ?? visitObject(value, resourceType, path);
  }

  return visitId(resource, resource.resourceType) ??
    visitObject(resource, resource.resourceType, resource.resourceType);
}

function visitPrimitive(value: unknown, type: string, path: string): FhirFault | undefined {
  const [found, expected] = [typeof value, jsonTypeOf(type)];
  if (found !== expected) {
    return { path, message: `Invalid JSON type: expected ${expected}` };
  }
  if (value === "") return { path, message: "Invalid empty value" };
  if (typeof value === "string" && !isStorable(value)) {
    return { path, message: "Text has a NUL character or half a surrogate pair" };
  }
}

function jsonTypeOf(type: string): "string" | "number" | "boolean" {
  if (type === "boolean") return "boolean";
  return ["decimal", "integer", "positiveInt", "unsignedInt"].includes(type) ? "number" : "string";
}

/** The definitions take any text for the id of a resource. */
function visitId({ id }: JsonObject, path: string): FhirFault | undefined {
  if (id === undefined || (typeof id === "string" && /^[A-Za-z0-9.-]{1,64}$/.test(id))) {
    return undefined;
  }
  return { path: `${path}.id`, message: "Invalid id format" };
}
