// Mutants of tables and views: constraints, columns that must not be empty, triggers, the indexes
// that policies and foreign keys need, and what views let through.

import { leaveOneOut } from "./conditions.ts";
import type { Mutant, Query } from "./mutant.ts";
import { unique } from "./policies.ts";

/** Derives the mutants of all tables and views. */
export async function relationMutants(query: Query): Promise<Mutant[]> {
  return [
    ...await constraintMutants(query),
    ...await notNullMutants(query),
    ...await indexMutants(query),
    ...await triggerMutants(query),
    ...await viewMutants(query),
  ];
}

/** Constraints, without those that a partition has from its parent. */
async function constraintMutants(query: Query): Promise<Mutant[]> {
  const constraints = await query<
    { name: string; table: string; subject: string; type: string; condition: string | null }
  >(`
    select quote_ident(c.conname) as name, r.qualified as table, r.relname as subject,
      case c.contype when 'c' then 'check' when 'u' then 'unique' when 'x' then 'exclusion'
        when 'p' then 'primary key' when 'f' then 'foreign key' end as type,
      case c.contype when 'c' then pg_get_expr(c.conbin, c.conrelid) end as condition
    from pg_constraint as c
    join pg_temp.our_relations as r on r.oid = c.conrelid
    where r.ours and c.contype in ('c', 'u', 'x', 'p', 'f') and c.conislocal and c.conparentid = 0
    order by r.qualified, c.conname`);
  return constraints.flatMap(({ name, table, subject, type, condition }) => {
    const title = `${type} ${name} on ${table}`;
    // A key may be what a foreign key points to.
    const drop = `alter table ${table} drop constraint ${name} cascade`;
    return unique([
      { name: `${title}: dropped`, kind: type, subject, sql: drop },
      ...leaveOneOut(condition ?? "").map(({ part, role, text }) => ({
        name: `${title}: without the ${role} ${part}`,
        kind: `${type} ${role}`,
        subject,
        sql: `${drop}; alter table ${table} add constraint ${name} check (${text})`,
      })),
    ]);
  });
}

async function notNullMutants(query: Query): Promise<Mutant[]> {
  const columns = await query<{ column: string; table: string; subject: string }>(`
    select quote_ident(a.attname) as column, r.qualified as table, r.relname as subject
    from pg_temp.our_relations as r
    join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    where r.ours and r.relkind in ('r', 'p') and not r.relispartition
      and a.attnotnull and a.attidentity = ''
      and not exists ( -- a primary key forbids null by itself
        select 1 from pg_constraint as c
        where c.conrelid = r.oid and c.contype = 'p' and a.attnum = any (c.conkey)
      )
    order by r.qualified, a.attnum`);
  return columns.map(({ column, table, subject }) => ({
    name: `column ${column} of ${table}: may be null`,
    kind: "not null",
    subject,
    sql: `alter table ${table} alter column ${column} drop not null`,
  }));
}

/**
 * Indexes that state a rule (unique ones), and those that begin with a column of a foreign key or
 * one that a policy reads.
 */
async function indexMutants(query: Query): Promise<Mutant[]> {
  const indexes = await query<{ name: string; subject: string; unique: boolean }>(`
    select i.indexrelid::regclass::text as name, r.relname as subject, i.indisunique as unique
    from pg_index as i
    join pg_temp.our_relations as r on r.oid = i.indrelid
    where r.ours and not r.relispartition
      and not exists (select 1 from pg_constraint as c where c.conindid = i.indexrelid
        and c.contype in ('p', 'u', 'x'))
      and (
        i.indisunique
        or exists (
          select 1 from pg_constraint as c
          where c.conrelid = i.indrelid and c.contype = 'f' and i.indkey[0] = any (c.conkey)
        )
        or exists (
          select 1 from pg_depend as d
          where d.classid = 'pg_policy'::regclass and d.refclassid = 'pg_class'::regclass
            and d.refobjid = i.indrelid and d.refobjsubid = i.indkey[0] and d.refobjsubid > 0
        )
      )
    order by r.qualified, 1`);
  return indexes.map(({ name, subject, unique }) => ({
    name: `index ${name}: dropped`,
    kind: unique ? "unique index" : "index",
    subject,
    sql: `drop index ${name}`,
  }));
}

/** Triggers that run the product's functions, on tables of Auth and Storage, too. */
async function triggerMutants(query: Query): Promise<Mutant[]> {
  const triggers = await query<
    { name: string; table: string; subject: string; inherited: boolean }
  >(`
    select quote_ident(t.tgname) as name, t.tgrelid::regclass::text as table, c.relname as subject,
      t.tgparentid <> 0 as inherited
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where not t.tgisinternal and t.tgfoid in (select oid from pg_temp.our_functions)
    order by 2, 1`);
  return triggers.flatMap(({ name, table, subject, inherited }) => {
    const mutant = (change: string, sql: string) => ({
      name: `trigger ${name} on ${table}: ${change}`,
      kind: `trigger ${change}`,
      subject,
      sql,
    });
    const disabled = mutant("disabled", `alter table ${table} disable trigger ${name}`);
    // One that a partition has from its parent goes with the parent's only.
    return inherited
      ? [disabled]
      : [disabled, mutant("dropped", `drop trigger ${name} on ${table}`)];
  });
}

async function viewMutants(query: Query): Promise<Mutant[]> {
  const views = await query<
    { name: string; subject: string; options: string[]; definition: string }
  >(`
    select qualified as name, relname as subject, coalesce(reloptions, '{}') as options,
      pg_get_viewdef(oid) as definition
    from pg_temp.our_relations
    where relkind = 'v'
    order by qualified`);
  return views.flatMap(({ name, subject, options, definition }) => {
    const mutant = (kind: string, change: string, sql: string): Mutant => ({
      name: `view ${name}: ${change}`,
      kind: `view ${kind}`,
      subject,
      sql,
    });
    const invoker = options.some((option) => /^security_invoker=(true|on|1)$/.test(option));
    const given = options.length > 0 ? ` with (${options.join(", ")})` : "";
    const mutants = options.map((option) => {
      const setting = option.split("=")[0]!;
      return mutant("option", `${setting} reset`, `alter view ${name} reset (${setting})`);
    });
    if (!invoker) {
      const sql = `alter view ${name} set (security_invoker = true)`;
      mutants.push(mutant("option", "security_invoker", sql));
    }
    for (const { part, role, text } of leaveOneOut(definition)) {
      const sql = `create or replace view ${name}${given} as ${text}`;
      mutants.push(mutant(role, `without the ${role} ${part}`, sql));
    }
    return unique(mutants);
  });
}
