// Writes the sealed audit log as NDJSON, for tools/verify_audit.ts. It holds what changed of whose data:
// PHI, for a compliance officer. So it is a tool with the database's own access, and no HTTP route.
// Usage: deno task audit:export [--db-url=<url>] [--from-seal=<id>] [--to-seal=<id>] > log.ndjson

import { parseArgs } from "@std/cli/parse-args";
import postgres from "postgres";

/** Which seals to export; all by default. */
export interface ExportRange {
  fromSeal?: number;
  toSeal?: number;
}

/** The lines of the log: its form, then each seal followed by its events in their order. */
export async function* exportLog(
  sql: postgres.Sql,
  { fromSeal = 1, toSeal = Number.MAX_SAFE_INTEGER }: ExportRange = {},
): AsyncGenerator<string> {
  yield JSON.stringify({ format: "audit_log/1" });
  const seals = sql<{ id: string; from_id: string; to_id: string; canonical: string }[]>`
    select s.id, s.from_id, s.to_id, private.audit_seal_canonical(
      s.id, s.from_id, s.to_id, s.leaf_count, s.merkle_root, s.previous_hash, s.snapshot,
      s.is_drained, s.is_restart, s.sealed_at
    ) as canonical
    from public.audit_seals as s
    where s.id between ${fromSeal} and ${toSeal}
    order by s.id`;
  for (const { id, from_id, to_id, canonical } of await seals) {
    yield JSON.stringify({ seal: canonical });
    const leaves = sql<{ canonical: string | null; leaf_hash: string }[]>`
      select encode(l.leaf_hash, 'hex') as leaf_hash,
        case when e.id is not null then private.audit_canonical(
          e.id, e.occurred_at, e.actor_id, e.actor_role, e.session_id, e.action, e.resource_type,
          e.resource_id, e.patient_id, e.purpose, e.old_values, e.new_values, e.ip_address,
          e.user_agent, e.request_id, e.transaction_id
        ) end as canonical
      from private.audit_seal_leaves as l
      left join public.audit_events as e
        on e.id = l.event_id and e.occurred_at = l.occurred_at
        and e.id between ${from_id} and ${to_id}
      where l.seal_id = ${id}
      order by l.position`.cursor(1000);
    for await (const rows of leaves) {
      for (const { canonical, leaf_hash } of rows) {
        yield JSON.stringify({ event: canonical, leaf_hash });
      }
    }
  }
}

if (import.meta.main) {
  const options = parseArgs(Deno.args, { string: ["db-url", "from-seal", "to-seal"] });
  const url = options["db-url"] ?? Deno.env.get("SUPABASE_DB_URL");
  if (!url) {
    console.error("Say which database: --db-url=<url>, or set SUPABASE_DB_URL");
    Deno.exit(2);
  }
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const bound = (text: string | undefined) => text === undefined ? undefined : Number(text);
  try {
    const writer = Deno.stdout.writable.getWriter();
    const encoder = new TextEncoder();
    const range = { fromSeal: bound(options["from-seal"]), toSeal: bound(options["to-seal"]) };
    for await (const line of exportLog(sql, range)) await writer.write(encoder.encode(`${line}\n`));
    console.error("What was written is health data: keep it as such");
  } finally {
    await sql.end();
  }
}
