// Fails when supabase/migrations does not build the schema that sql/ and policies/ declare.
// Usage: deno task db:check

import { withBothSchemas } from "./schema.ts";
import { describeDiff, diffSchemas } from "./schema_diff.ts";

if (import.meta.main) {
  const problem = await withBothSchemas(async (both) => describeDiff(await diffSchemas(both)));
  console.log(problem || "supabase/migrations builds what sql/ and policies/ declare");
  if (problem) Deno.exit(1);
}
