// Tells the story of a patient's record, step by step, against the running stack: from sign-up to a
// doctor's open chart, and who was refused. Ends with 0 when everything was as it must be.
// Usage: deno task demo [--bundle <file>]

import { parseArgs } from "@std/cli/parse-args";
import { join } from "@std/path";
import { PROJECT } from "../supabase/local/cli.ts";
import { Fault } from "../supabase/local/fault.ts";
import { findStack } from "./demo/stack.ts";
import { tellStory } from "./demo/story.ts";

/** The project's own bundle, about a patient who does not exist. */
const OWN_BUNDLE = join(PROJECT, "tests", "fixtures", "ananya_rao.bundle.json");
const USAGE = "Usage: deno task demo [--bundle <file>]";

async function main(args: string[]): Promise<boolean> {
  const { bundle: path = OWN_BUNDLE, _: rest } = parseArgs(args, {
    string: ["bundle"],
    unknown: () => {
      throw new Fault(USAGE);
    },
  });
  if (rest.length > 0 || path === "") throw new Fault(USAGE);
  const bundle = await readBundle(path);
  const stack = await findStack();
  console.log(`The story of a patient's record, told against ${stack.url}`);
  return await tellStory({ stack, ...bundle, print: (line) => console.log(line) });
}

/** Reads a bundle and finds the name of its patient. */
async function readBundle(path: string): Promise<{ bundle: string; patientName: string }> {
  const bundle = await Deno.readTextFile(path).catch((error) => {
    throw new Fault(`Cannot read the bundle ${path}: ${error.message}`);
  });
  return { bundle, patientName: patientNameOf(bundle) ?? "The patient" };
}

/** First given name of the bundle's Patient. What is no bundle is for the import to say. */
function patientNameOf(bundle: string): string | undefined {
  try {
    const entries: { resource?: { resourceType?: string; name?: { given?: string[] }[] } }[] =
      JSON.parse(bundle).entry;
    const patient = entries.find(({ resource }) => resource?.resourceType === "Patient");
    return patient?.resource?.name?.[0]?.given?.[0];
  } catch {
    return undefined;
  }
}

try {
  // Clients keep timers; the story is over all the same.
  Deno.exit(await main(Deno.args) ? 0 : 1);
} catch (error) {
  const why = error instanceof Error ? error.message : String(error);
  console.error(error instanceof Fault ? why : `The story stopped: ${why}`);
  Deno.exit(1);
}
