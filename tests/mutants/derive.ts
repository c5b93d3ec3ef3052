// Derives every mutant from the catalogue of a database: nothing here knows a table by name, so
// that what is added to the product is mutated, too.

import type postgres from "postgres";
import { functionMutants } from "./functions.ts";
import { grantMutants } from "./grants.ts";
import { type Mutant, readingCatalog } from "./mutant.ts";
import { policyMutants } from "./policies.ts";
import { relationMutants } from "./relations.ts";

/** Lists the mutants of the product in the database of a superuser's connection. */
export async function deriveMutants(connection: postgres.Sql): Promise<Mutant[]> {
  const mutants = await readingCatalog(connection, async (query) => [
    ...await policyMutants(query),
    ...await relationMutants(query),
    ...await functionMutants(query),
    ...await grantMutants(query),
  ]);
  const names = new Set<string>();
  for (const { name } of mutants) {
    if (names.has(name)) throw new Error(`Cannot tell two mutants apart, both are: ${name}`);
    names.add(name);
  }
  return mutants;
}
