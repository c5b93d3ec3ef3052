// Validation of FHIR R4 resources: Medplum's validator on HL7's own definitions, of which
// fhir_r4.json is the part that an import needs (tools/gen_fhir_r4.ts).

import { loadDataType, OperationOutcomeError, validateTypedValue } from "@medplum/core";
import type { OperationOutcomeIssue, StructureDefinition } from "@medplum/fhirtypes";
import { z } from "zod";
import { findExcess } from "./fhir_limits.ts";
import r4 from "./fhir_r4.json" with { type: "json" };
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

/** Every word that FHIR uses in a path, so that a path can be told that holds something else. */
const ELEMENT_NAMES = new Set(
  [...data_types, ...Object.values(resources)].flatMap((definition) =>
    definition.snapshot?.element.map(({ path = "" }) =>
      path.slice(path.lastIndexOf(".") + 1).replace("[x]", "")
    ) ?? []
  ),
);

/** Whether a text is the name of a resource type of FHIR R4. */
export function isResourceType(name: string): boolean {
  return RESOURCE_TYPES.has(name);
}

export type Validation = { resource: KnownResource } | { fault: FhirFault };

/** Validates a resource of a known type; gives it back as such, or says the first thing wrong. */
export function validateResource(resource: UncheckedResource): Validation {
  const fault = findExcess(resource) ?? findUnknownContained(resource) ?? findFault(resource);
  if (fault) return { fault: { ...fault, path: knownPath(fault.path) } };
  // The validator went over every element of it.
  return isKnown(resource) ? { resource } : { fault: UNREADABLE };
}

const UNREADABLE: FhirFault = { path: "", message: "Is not a FHIR R4 resource that can be read" };

function isKnown(resource: UncheckedResource): resource is UncheckedResource & KnownResource {
  return loaded.has(resource.resourceType);
}

/** The validator knows the types that the kept resources may refer to, and stops at others. */
function findUnknownContained({ resourceType, contained }: UncheckedResource) {
  if (!Array.isArray(contained)) return undefined;
  const index = contained.findIndex((inner) =>
    !isUncheckedResource(inner) || !Object.hasOwn(resources, inner.resourceType)
  );
  if (index < 0) return undefined;
  return {
    path: `${resourceType}.contained[${index}]`,
    message: "Is not a resource that may be contained here",
  };
}

function findFault(resource: UncheckedResource): FhirFault | undefined {
  const inner = Array.isArray(resource.contained) ? resource.contained : [];
  for (const { resourceType } of [resource, ...inner]) load(resourceType);
  try {
    validateTypedValue(
      { type: resource.resourceType, value: resource },
      { base64BinaryMaxBytes: MAX_EMBEDDED_BYTES },
    );
    return undefined;
  } catch (thrown) {
    const issues = thrown instanceof OperationOutcomeError ? thrown.outcome.issue : [];
    const issue = issues.find(({ severity }) => severity === "error");
    // Some shapes make the validator itself fail, for example an element named valueOf.
    return issue ? toFault(issue) : { ...UNREADABLE, path: resource.resourceType };
  }
}

/** Loads the definition of a resource type, and with the first one those of all data types. */
function load(type: string): void {
  if (loaded.size === 0) data_types.forEach(loadDataType);
  const definition = resources[type];
  if (loaded.has(type) || !definition) return;
  loadDataType(definition);
  loaded.add(type);
}

function toFault({ details, expression }: OperationOutcomeIssue): FhirFault {
  const path = expression?.[0] ?? "";
  const text = details?.text ?? "";
  if (text.startsWith("Invalid additional property")) {
    return {
      path: path.slice(0, path.lastIndexOf(".")),
      message: "Has an element that FHIR R4 does not define",
    };
  }
  // A quotation mark is where the validator quotes the resource.
  return { path, message: text.includes('"') ? "Does not conform to FHIR R4" : text };
}

/** The part of a path that consists of FHIR's own words. */
function knownPath(path: string): string {
  const [type, ...steps] = path.split(".");
  const end = steps.findIndex((step) => !isElementName(step));
  return [type, ...end < 0 ? steps : steps.slice(0, end)].join(".");
}

function isElementName(step: string): boolean {
  const name = step.replace(/^_|(\[x\])?(\[\d+\])?$/g, "");
  if (ELEMENT_NAMES.has(name)) return true;
  // An element of several types carries the type in its name: value and Quantity, valueQuantity.
  const words = name.split(/(?=[A-Z])/);
  return words.length < 6 &&
    words.some((_, index) => ELEMENT_NAMES.has(words.slice(0, index + 1).join("")));
}
