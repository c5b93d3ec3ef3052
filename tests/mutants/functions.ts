// Mutants of functions: with whose rights they run, and whether names in them can be led astray.

import type { Mutant, Query } from "./mutant.ts";

interface RoutineFacts {
  name: string;
  subject: string;
  definer: boolean;
  /** Whether it has a search_path of its own. Other settings are hints to the planner. */
  pinned: boolean;
}

/** Derives the mutants of all functions. */
export async function functionMutants(query: Query): Promise<Mutant[]> {
  const functions = await query<RoutineFacts>(`
    select qualified as name, proname as subject, prosecdef as definer,
      exists (select from unnest(proconfig) as s where s like 'search_path=%') as pinned
    from pg_temp.our_functions
    order by qualified`);
  return functions.flatMap(({ name, subject, definer, pinned }) => {
    const rights = definer ? "invoker" : "definer";
    const mutants = [{
      name: `function ${name}: security ${rights}`,
      kind: `security ${rights}`,
      subject,
      sql: `alter routine ${name} security ${rights}`,
    }];
    if (pinned) {
      mutants.push({
        name: `function ${name}: search_path reset`,
        kind: "search_path",
        subject,
        sql: `alter routine ${name} reset search_path`,
      });
    }
    return mutants;
  });
}
