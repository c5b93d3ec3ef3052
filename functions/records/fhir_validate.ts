// Validation of FHIR R4 resources: their shape first, then Medplum's validator, both on HL7's own
// definitions, of which fhir_r4.json is the part that an import needs (tools/gen_fhir_r4.ts).

import { loadDataType, OperationOutcomeError, validateTypedValue } from "@medplum/core";
import type { StructureDefinition } from "@medplum/fhirtypes";
import { z } from "zod";
import r4 from "./fhir_r4.json" with { type: "json" };
import { findShapeFault } from "./fhir_shape.ts";
import {
  type FhirFault,
  isUncheckedResource,
  type KnownResource,
  type UncheckedResource,
} from "./fhir_types.ts";

const Definitions = z.object({
  resource_types: z.array(z.string()),
  data_types: z.array(z.custom<StructureDefinition>()),
  resources: z.record(z.string(), z.custom<StructureDefinition>()),
});

const { resource_types, data_types, resources } = Definitions.parse(r4);

/** Largest file that a resource may carry in itself. */
const MAX_EMBEDDED_BYTES = 20 * 1024 * 1024;

const RESOURCE_TYPES = new Set(resource_types);
const loaded = new Set<string>();

/** Whether a text is the name of a resource type of FHIR R4. */
export function isResourceType(name: string): boolean {
  return RESOURCE_TYPES.has(name);
}

export type Validation = { resource: KnownResource } | { fault: FhirFault };

/** Validates a resource of a known type; gives it back as such, or says the first thing wrong. */
export function validateResource(resource: UncheckedResource): Validation {
  loadDefinitions(resource);
  const fault = findShapeFault(resource) ?? findBrokenRule(resource);
  if (fault) return { fault };
  if (isKnown(resource)) return { resource };
  throw new Error(`fhir_r4.json has no definition of ${resource.resourceType}`);
}

/** Every element of the resource has been compared with the definition of its type. */
function isKnown(resource: UncheckedResource): resource is UncheckedResource & KnownResource {
  return loaded.has(resource.resourceType);
}

/** Loads what is needed for a resource and those within it; the data types come with the first. */
function loadDefinitions(resource: UncheckedResource): void {
  if (loaded.size === 0) data_types.forEach(loadDataType);
  const inner = Array.isArray(resource.contained) ? resource.contained : [];
  for (const { resourceType: type } of [resource, ...inner.filter(isUncheckedResource)]) {
    const definition = Object.hasOwn(resources, type) ? resources[type] : undefined;
    if (loaded.has(type) || !definition) continue;
    loadDataType(definition);
    loaded.add(type);
  }
}

/** Finds the first rule beyond the shape that a resource breaks: formats, counts, invariants. */
function findBrokenRule(resource: UncheckedResource): FhirFault | undefined {
  const { resourceType: type } = resource;
  try {
    validateTypedValue({ type, value: resource }, { base64BinaryMaxBytes: MAX_EMBEDDED_BYTES });
    return undefined;
  } catch (thrown) {
    const issues = thrown instanceof OperationOutcomeError ? thrown.outcome.issue : [];
    const issue = issues.find(({ severity }) => severity === "error");
    const message = issue?.details?.text ?? "Cannot be validated";
    return {
      path: issue?.expression?.[0] ?? type,
      // Should a rule quote the resource, it does so between quotation marks.
      message: message.includes('"') ? "Does not conform to FHIR R4" : message,
    };
  }
}
