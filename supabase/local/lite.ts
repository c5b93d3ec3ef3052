// Lite in process: the application that answers `/rest/v1` and signs in through other providers.
// Its connection is corrected here: it grants nothing, reads the schema once for all that wait, sets
// a request's role and settings in one statement, and reports errors as PostgREST does.

import { AsyncLocalStorage } from "node:async_hooks";
import { App } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import { type Kysely, sql } from "kysely";
import { type AuthSettings, readAuthSettings } from "./auth/settings.ts";
import type { Peer, StackContext } from "./context.ts";
import { hideRowsInErrors } from "./log_errors.ts";
import { restErrorResponse, restFailure } from "./rest_errors.ts";
import { JSON_TYPES } from "./rest_types.ts";

/** What a request to the data API runs with. */
export interface RestScope {
  /** Claims of the caller's token, or the role of the API key alone. */
  claims: { role: string; sub?: string; session_id?: string };
  /** Settings that functions and policies may read, by name. */
  settings: Record<string, string>;
}

/** What a request writes to: a table, or a function with the arguments that are given. */
export type RestTarget = { table: string } | { function: string; names: string[] };

/** The Lite application of a stack. */
export interface Lite {
  /** Answers a request; `scope` is what its statements run with. */
  fetch: (request: Request, peer: Peer, scope?: RestScope) => Promise<Response>;
  /** Names of the columns of a table in `public`, or of the arguments of a function, that are JSON. */
  jsonNames: (target: RestTarget) => Promise<Set<string>>;
  /** Makes Lite read the schema again, after DDL. */
  clearSchemaCache: () => Promise<void>;
  close: () => Promise<void>;
}

/** A scope whose role may be taken. */
interface RunningScope extends RestScope {
  /** Settings that `alter role` gave the role. */
  roleSettings: Record<string, string>;
}

type Connection = ReturnType<typeof createPostgresConnection>;

/** Builds the Lite application on the stack's database. */
export function createLite(
  context: StackContext,
  settings: AuthSettings = readAuthSettings(),
): Lite {
  hideRowsInErrors();
  const scopes = new AsyncLocalStorage<RunningScope>();
  const connection = keepOurGrants(createPostgresConnection({
    url: context.adminUrl,
    postgresOptions: { types: JSON_TYPES, onnotice: () => {} },
  }));
  const roles = new Roles(context.admin);
  useSettingsOf(connection, scopes);
  shareIntrospection(connection);
  reportAsPostgrest(connection, scopes);
  const clearSchemaCache = async () => {
    roles.forget();
    await connection.clearSchemaCache();
  };
  const app = new App(liteConfig(connection, context, settings, scopes));
  const listening = context.admin.listen("pgrst", clearSchemaCache);
  return {
    fetch: async (request, { address }, scope) => {
      const env = { peerAddress: address };
      const run = () => app.fetch(request, env);
      if (!scope) return await run();
      // Before Lite begins its transaction: in it, every connection may be waiting for another.
      const roleSettings = await roles.settings(scope.claims.role);
      return roleSettings
        ? await scopes.run({ ...scope, roleSettings }, run)
        : roleRefused(scope.claims.role);
    },
    jsonNames: (target) => jsonNames(connection, target),
    clearSchemaCache,
    close: async () => {
      await (await listening).unlisten();
      await connection.close();
    },
  };
}

function liteConfig(
  connection: Connection,
  context: StackContext,
  settings: AuthSettings,
  scopes: AsyncLocalStorage<RunningScope>,
): ConstructorParameters<typeof App>[0] {
  const { site_url, additional_redirect_urls, enable_signup, enable_anonymous_sign_ins } = settings;
  const { enable_confirmations } = settings.email;
  return {
    connection,
    auth: {
      enabled: true,
      jwt_secret: context.keys.internal,
      jwt_expiry: settings.jwt_expiry,
      site_url,
      additional_redirect_urls,
      publishable_key: context.keys.publishable,
      secret_key: context.keys.secret,
      enable_signup,
      enable_anonymous_sign_ins,
      email: { enable_confirmations },
      external: settings.external,
    },
    api: { schemas: ["public"], max_rows: 1000, external_url: context.apiUrl },
    db: { migrations: { enabled: false } },
    storage: { enabled: false },
    studio: { enabled: false },
    options: {
      drivers: {
        email: {
          send: ({ to, subject, text = "" }: { to: string; subject: string; text?: string }) => {
            // Lite takes the site for the API.
            const verify = (base: string) => new URL("/auth/v1/verify", base).href;
            const corrected = text.replaceAll(verify(site_url), verify(context.apiUrl));
            context.outbox.add({ channel: "email", to, subject, text: corrected });
            return Promise.resolve();
          },
        },
      },
      server: {
        // Told who the caller is, Lite does not look the user and the session up for each request.
        middlewares: [async (c: LiteContext, next: () => Promise<void>) => {
          const claims = scopes.getStore()?.claims;
          if (claims?.sub) {
            c.set("userId", claims.sub);
            c.set("sessionId", claims.session_id ?? "none");
          }
          await next();
        }],
      },
    },
  };
}

/** The part of Lite's request context that is used. */
interface LiteContext {
  set: (name: string, value: string) => void;
}

/** Stops Lite from granting everything to the API roles; our migrations own every grant. */
export function keepOurGrants<T extends object>(connection: T): T {
  replaceMethod(connection, "ensureRlsContext", () => Promise.resolve(true));
  // 'inactive' would run requests as the login role.
  Reflect.set(connection, "rlsState", "active");
  return connection;
}

/** Replaces a method that Lite does not offer for replacement, if it is still there. */
function replaceMethod(target: object, name: string, method: (...args: never[]) => unknown): void {
  if (typeof Reflect.get(target, name) !== "function") {
    throw new Error(`Lite changed: ${name} is gone, check what took its place`);
  }
  Object.defineProperty(target, name, { value: method });
}

/** Roles that a request may take, as PostgREST knows them: those that `authenticator` may take. */
class Roles {
  #admin: StackContext["admin"];
  #known: Promise<Map<string, Record<string, string>>> | undefined;

  constructor(admin: StackContext["admin"]) {
    this.#admin = admin;
  }

  /** Reads the roles again at the next request. */
  forget() {
    this.#known = undefined;
  }

  /** Settings that `alter role` gave this role, or undefined when no request may take it. */
  async settings(role: string): Promise<Record<string, string> | undefined> {
    this.#known ??= this.#read();
    const known = this.#known;
    // A reading that failed is not kept.
    known.catch(() => this.#known === known && this.forget());
    return (await known).get(role);
  }

  async #read() {
    const rows = await this.#admin<{ name: string; settings: string[] | null }[]>`
      select rolname as name, rolconfig as settings from pg_roles
      where pg_has_role('authenticator', oid, 'set') and rolname <> 'authenticator'`;
    const entry = (setting: string) => {
      const at = setting.indexOf("=");
      return [setting.slice(0, at), setting.slice(at + 1)] as const;
    };
    return new Map(rows.map((row) => [
      row.name,
      Object.fromEntries((row.settings ?? []).map(entry)),
    ]));
  }
}

function roleRefused(role: string): Response {
  return restErrorResponse(403, {
    code: "42501",
    message: `permission denied to set role "${role}"`,
    details: null,
    hint: null,
  });
}

/** Sets role, claims and the settings of the request in one statement at its transaction's start. */
function useSettingsOf(
  connection: Connection,
  scopes: AsyncLocalStorage<RunningScope>,
): void {
  const apply = async (transaction: Kysely<unknown>) => {
    const scope = scopes.getStore();
    if (!scope) throw new Error("A data request came without its scope");
    const all = JSON.stringify({
      ...scope.roleSettings,
      role: scope.claims.role,
      "request.jwt.claims": JSON.stringify(scope.claims),
      "response.status": "",
      "response.headers": "",
      ...scope.settings,
    });
    await sql`
      select set_config(setting.key, setting.value, true)
      from jsonb_each_text(${all}::text::jsonb) as setting`.execute(transaction);
  };
  replaceMethod(connection, "applyJwtSessionContext", apply);
  replaceMethod(connection, "applyRpcRequestGucs", () => Promise.resolve());
}

/** Lets requests that wait for the schema share one reading of it. */
function shareIntrospection(connection: Connection): void {
  const introspect = connection.introspect.bind(connection);
  const clear = connection.clearSchemaCache.bind(connection);
  let reading: ReturnType<typeof introspect> | undefined;
  let cached = false;
  connection.introspect = async (options) => {
    if (cached && options?.useCache) return await introspect(options);
    reading ??= introspect({ useCache: false });
    const current = reading;
    try {
      const result = await current;
      if (reading === current) cached = true;
      return result;
    } finally {
      if (reading === current) reading = undefined;
    }
  };
  connection.clearSchemaCache = async () => {
    // A reading under way began before the change: nobody who comes now may wait for it.
    cached = false;
    reading = undefined;
    await clear();
  };
}

async function jsonNames(connection: Connection, target: RestTarget): Promise<Set<string>> {
  const { columns, functions = [] } = await connection.introspect({ useCache: true });
  const isJson = (type: string | undefined) => type === "json" || type === "jsonb";
  if ("table" in target) {
    const own = columns.filter(({ schema, table }) =>
      schema === "public" && table === target.table
    );
    return new Set(own.filter(({ type }) => isJson(type)).map(({ name }) => name));
  }
  // As PostgREST chooses: every name that is given is an argument, and the rest have defaults.
  const { names } = target;
  const chosen = functions.filter(({ schema, name, arg_names, arg_types, arg_defaults }) =>
    schema === "public" && name === target.function &&
    names.every((given) => arg_names.includes(given)) &&
    names.length >= arg_types.length - arg_defaults
  );
  const [only] = chosen;
  if (!only || chosen.length > 1) return new Set();
  return new Set(only.arg_names.filter((_, index) => isJson(only.arg_types[index])));
}

/** Answers errors of the database as PostgREST does, instead of printing them with their stack. */
function reportAsPostgrest(connection: Connection, scopes: AsyncLocalStorage<RunningScope>): void {
  // Lite asks this for every error that is not its own, and its server answers a thrown error that
  // has `getResponse` with what that returns.
  connection.normalizeDbError = (error) => {
    throw restFailure(error, scopes.getStore()?.claims.role ?? "anon");
  };
}
