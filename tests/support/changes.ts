// Changes of rows in the test's own process, on a database of its own in the cluster of the stack under
// test. Its tables are made as the superuser; listeners are channels without a socket.

import postgres from "postgres";
import type { StackContext } from "../../supabase/local/context.ts";
import { createDatabase, dropDatabase } from "../../supabase/local/database.ts";
import { databaseUrl, SUPERUSER } from "../../supabase/local/postgres.ts";
import {
  type ChangeBinding,
  type ChangeMessage,
  type Changes,
  type ChangeSubscriber,
  type ChangeSubscription,
  createChanges,
} from "../../supabase/local/realtime/changes.ts";
import { present } from "./auth.ts";
import { testEnv } from "./env.ts";
import { canOwnRealtime, Heard } from "./realtime.ts";

/** A channel: what it hears, and its subscription. */
export interface Listener {
  heard: Heard<ChangeMessage>;
  notices: Heard<{ status: "ok" | "error"; message: string }>;
  subscription: ChangeSubscription;
  /** Everything heard of what was committed before, once it has come. */
  all: () => Promise<ChangeMessage[]>;
}

/** Somebody who is signed in. */
export function person(sub: string = crypto.randomUUID()): ChangeSubscriber & { id: string } {
  const claims = { sub, role: "authenticated" };
  return { id: sub, role: "authenticated", claims, headers: {} };
}

/** Somebody who is not. */
export const NOBODY: ChangeSubscriber = { role: "anon", claims: { role: "anon" }, headers: {} };

/** The secret key. */
export const SERVICE: ChangeSubscriber = {
  role: "service_role",
  claims: { role: "service_role" },
  headers: {},
};

/** A table that everybody hears, to know that all before it has come. */
const FENCE = `
  create table public.fence (id uuid primary key);
  grant select on public.fence to anon, authenticated, service_role;
  alter publication supabase_realtime add table public.fence;`;

/** Changes of one test. */
export class OwnChanges {
  readonly changes: Changes;

  private constructor(readonly sql: postgres.Sql, context: StackContext) {
    this.changes = createChanges(context);
  }

  /** Runs `work` with a database that has what `schema` makes. */
  static async use(schema: string, work: (own: OwnChanges) => Promise<void>): Promise<void> {
    const port = Number(new URL(present(testEnv().adminUrl)).port);
    const name = `changes_${crypto.randomUUID().replaceAll("-", "")}`;
    await createDatabase(port, name);
    const adminUrl = databaseUrl(port, SUPERUSER, name);
    const admin = postgres(adminUrl, { max: 10, onnotice: () => {} });
    try {
      await admin.unsafe(FENCE + schema);
      const own = new OwnChanges(admin, { admin, adminUrl } as StackContext);
      try {
        await work(own);
      } finally {
        await own.changes.close();
      }
    } finally {
      await admin.end();
      await dropDatabase(port, name);
    }
  }

  /** Subscribes, and waits until changes are told. */
  async listen(
    subscriber: ChangeSubscriber,
    ...bindings: (Partial<ChangeBinding> | string)[]
  ): Promise<Listener> {
    const heard = new Heard<ChangeMessage>();
    const notices = new Heard<{ status: "ok" | "error"; message: string }>();
    const fences = new Map<unknown, () => void>();
    const subscription = this.changes.subscribe(
      [...bindings, "fence"].map((binding): ChangeBinding => ({
        ...{ event: "*", schema: "public" },
        ...(typeof binding === "string" ? { table: binding } : binding),
      })),
      subscriber,
      (message) => {
        const passed = fences.get((message.data.record as { id?: unknown } | undefined)?.id);
        if (message.data.table === "fence") passed?.();
        else heard.add(message);
      },
      (status, message) => notices.add({ status, message }),
    );
    await subscription.ready;
    const all = async () => {
      const id = crypto.randomUUID();
      const passed = new Promise<void>((resolve) => fences.set(id, resolve));
      await this.sql`insert into public.fence values (${id})`;
      await passed;
      return heard.all;
    };
    return { heard, notices, subscription, all };
  }

  /** Why a subscription is refused. */
  async refusal(subscriber: ChangeSubscriber, binding: Partial<ChangeBinding>): Promise<string> {
    try {
      const { subscription } = await this.listen(subscriber, binding);
      subscription.close();
      return "not refused";
    } catch (error) {
      if (!(error instanceof Error && error.name === "ChangeError")) throw error;
      return error.message;
    }
  }
}

/** Registers a test with changes of its own. */
export function changesTest(
  name: string,
  schema: string,
  work: (own: OwnChanges) => Promise<void>,
): void {
  Deno.test({ name, ignore: !canOwnRealtime, fn: () => OwnChanges.use(schema, work) });
}
