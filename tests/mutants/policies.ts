// Mutants of the row level security: policies and the switch on each table.

import { leaveOneOut } from "./conditions.ts";
import type { Mutant, Query } from "./mutant.ts";

interface Policy {
  name: string;
  table: string;
  relname: string;
  permissive: boolean;
  command: "select" | "insert" | "update" | "delete" | "all";
  roles: string;
  using: string | null;
  check: string | null;
}

/** The two conditions of a policy: which rows it is about, and what they may become. */
type Clause = "using" | "check";
const WORDS: Record<Clause, string> = { using: "using", check: "with check" };

/** Derives the mutants of all policies, and of the tables that policies stand on. */
export async function policyMutants(query: Query): Promise<Mutant[]> {
  const policies = await query<Policy>(`
    select quote_ident(p.polname) as name, r.qualified as table, r.relname,
      p.polpermissive as permissive,
      case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
        when 'd' then 'delete' else 'all' end as command,
      (
        select string_agg(case role when 0 then 'public' else role::regrole::text end, ', ')
        from unnest(p.polroles) as role
      ) as roles,
      pg_get_expr(p.polqual, p.polrelid) as using,
      pg_get_expr(p.polwithcheck, p.polrelid) as check
    from pg_policy as p
    join pg_temp.our_relations as r on r.oid = p.polrelid
    order by r.qualified, p.polname`);
  const switches = await query<{ table: string; relname: string }>(`
    select qualified as table, relname from pg_temp.our_relations
    where relrowsecurity order by qualified`);
  return [
    ...policies.flatMap(mutantsOf),
    ...switches.map(({ table, relname }) => ({
      name: `row level security disabled on ${table}`,
      kind: "row level security",
      subject: relname,
      sql: `alter table ${table} disable row level security`,
    })),
  ];
}

function mutantsOf(policy: Policy): Mutant[] {
  const mutant = (kind: string, change: string, sql: string): Mutant => ({
    name: `policy ${policy.name} on ${policy.table}: ${change}`,
    kind: `policy ${kind}`,
    subject: policy.relname,
    sql,
  });
  const drop = `drop policy ${policy.name} on ${policy.table}`;
  const again = (changes: Partial<Policy>) => `${drop}; ${create({ ...policy, ...changes })}`;

  const mutants = [mutant("dropped", "dropped", drop)];
  if (policy.roles !== "public") {
    mutants.push(mutant("roles", "to public", again({ roles: "public" })));
  }
  if (policy.command !== "all") {
    mutants.push(mutant("command", "for all commands", again({ command: "all" })));
  }
  if (!policy.permissive) {
    mutants.push(mutant("permissive", "made permissive", again({ permissive: true })));
  }
  if (policy.check !== null) {
    mutants.push(mutant("no check", "no with check", again({ check: null })));
  }
  for (const clause of ["using", "check"] as const) {
    const condition = policy[clause];
    if (condition === null) continue;
    const altered = (text: string) =>
      `alter policy ${policy.name} on ${policy.table} ${WORDS[clause]} (${text})`;
    if (condition !== "true") {
      mutants.push(mutant(`${clause} true`, `${WORDS[clause]} (true)`, altered("true")));
    }
    for (const { part, role, text } of leaveOneOut(condition)) {
      mutants.push(
        mutant(`${clause} ${role}`, `${WORDS[clause]} without the ${role} ${part}`, altered(text)),
      );
    }
  }
  return unique(mutants);
}

function create({ name, table, permissive, command, roles, using, check }: Policy): string {
  return [
    `create policy ${name} on ${table} as ${permissive ? "permissive" : "restrictive"}`,
    `for ${command} to ${roles}`,
    using === null ? "" : `using (${using})`,
    check === null ? "" : `with check (${check})`,
  ].filter((part) => part).join(" ");
}

/** A condition may ask for the same twice, in two places: the names say which. */
export function unique(mutants: Mutant[]): Mutant[] {
  const seen = new Map<string, number>();
  return mutants.map((mutant) => {
    const count = (seen.get(mutant.name) ?? 0) + 1;
    seen.set(mutant.name, count);
    return count === 1 ? mutant : { ...mutant, name: `${mutant.name} (place ${count})` };
  });
}
