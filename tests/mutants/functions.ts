// Mutants of functions: with whose rights they run, and in which setting.

import type { Mutant, Query } from "./mutant.ts";

interface RoutineFacts {
  name: string;
  subject: string;
  definer: boolean;
  settings: string[];
}

/** Derives the mutants of all functions. */
export async function functionMutants(query: Query): Promise<Mutant[]> {
  const functions = await query<RoutineFacts>(`
    select qualified as name, proname as subject, prosecdef as definer, array(
        select split_part(setting, '=', 1) from unnest(proconfig) as setting
      ) as settings
    from pg_temp.our_functions
    order by qualified`);
  return functions.flatMap(({ name, subject, definer, settings }) => {
    const rights = definer ? "invoker" : "definer";
    return [
      {
        name: `function ${name}: security ${rights}`,
        kind: `security ${rights}`,
        subject,
        sql: `alter routine ${name} security ${rights}`,
      },
      ...settings.map((setting) => ({
        name: `function ${name}: ${setting} reset`,
        kind: "setting",
        subject,
        sql: `alter routine ${name} reset ${setting}`,
      })),
    ];
  });
}
