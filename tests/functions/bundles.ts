// Bundles for tests: the one that ships with the project, Synthea's where the machine has them, and
// small ones made by hand.

import { join } from "@std/path";

const PROJECT = new URL("../../", import.meta.url).pathname;

/** A FHIR object as tests write it. */
// deno-lint-ignore no-explicit-any -- tests change any part of a resource
export type Fhir = Record<string, any>;

/** The bundle of a fictional patient with breast cancer, 29 resources. */
export async function ownBundle(): Promise<Fhir> {
  return JSON.parse(await ownBundleText());
}

export function ownBundleText(): Promise<string> {
  return Deno.readTextFile(join(PROJECT, "tests/fixtures/ananya_rao.bundle.json"));
}

/** Synthea's bundles by file name; empty, with a word about it, where there are none. */
export function syntheaBundles(): { name: string; text: string }[] {
  const folder = Deno.env.get("BL_FHIR_SAMPLES") ?? join(PROJECT, "../shared/data/fhir");
  try {
    return [...Deno.readDirSync(folder)].filter(({ name }) => name.endsWith(".json"))
      .map(({ name }) => ({ name, text: Deno.readTextFileSync(join(folder, name)) }));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.log(`Skipped: there are no Synthea bundles in ${folder} (set BL_FHIR_SAMPLES)`);
    return [];
  }
}

export const PATIENT_URL = "urn:uuid:0b6a8c52-8a44-4d0b-9c55-2f0d3f1e7a01";
export const SUBJECT = { reference: PATIENT_URL };

/** A bundle of resources; each entry's fullUrl is made up unless the resource brings one. */
export function bundleOf(...resources: Fhir[]): Fhir {
  return {
    resourceType: "Bundle",
    type: "collection",
    entry: resources.map(({ fullUrl, ...resource }) => ({ ...fullUrl && { fullUrl }, resource })),
  };
}

export function patient(changes: Fhir = {}): Fhir {
  return { resourceType: "Patient", id: "p1", fullUrl: PATIENT_URL, ...changes };
}

export function condition(changes: Fhir = {}): Fhir {
  return {
    resourceType: "Condition",
    id: "c1",
    code: { text: "Anaemia" },
    subject: SUBJECT,
    ...changes,
  };
}

export function observation(changes: Fhir = {}): Fhir {
  return {
    resourceType: "Observation",
    id: "o1",
    status: "final",
    code: { text: "Haemoglobin" },
    subject: SUBJECT,
    ...changes,
  };
}
