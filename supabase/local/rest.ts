// `/rest/v1`, and the in-process Lite application that auth/ stands on. Lite would grant everything
// to the API roles at its first query; `keepOurGrants` stops that.

import { App } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import type { StackContext } from "./context.ts";

/** Lite's application and the connection below it. */
export interface Lite {
  app: App;
  /** Makes Lite read the schema again, after DDL. */
  clearSchemaCache: () => void;
  close: () => Promise<void>;
}

/** Builds the Lite application on the stack's database. */
export function createLite(context: StackContext): Lite {
  const connection = keepOurGrants(createPostgresConnection({ url: context.adminUrl }));
  const app = new App({
    connection,
    auth: {
      enabled: true,
      jwt_secret: context.keys.internal,
      jwt_expiry: 900,
      site_url: context.apiUrl,
      additional_redirect_urls: [],
      publishable_key: context.keys.publishable,
      secret_key: context.keys.secret,
      enable_signup: true,
      enable_refresh_token_rotation: true,
      refresh_token_reuse_interval: 10,
      email: { enable_confirmations: false, otp_length: 6, otp_expiry: 3600 },
    },
    api: { schemas: ["public"], max_rows: 1000 },
    db: { migrations: { enabled: false } },
    storage: { enabled: false },
    studio: { enabled: false },
    options: {
      drivers: {
        email: {
          send: (mail: { to: string; subject: string; text?: string }) => {
            const { to, subject, text = "" } = mail;
            context.outbox.add({ channel: "email", to, subject, text });
            return Promise.resolve();
          },
        },
      },
    },
  } as never);
  return {
    app,
    clearSchemaCache: () => connection.clearSchemaCache(),
    close: () => connection.close(),
  };
}

/** Stops Lite from granting everything to the API roles; our migrations own every grant. */
export function keepOurGrants<T extends object>(connection: T): T {
  if (typeof Reflect.get(connection, "ensureRlsContext") !== "function") {
    throw new Error("Lite changed: ensureRlsContext is gone, check its GRANT behaviour");
  }
  Object.defineProperty(connection, "ensureRlsContext", { value: () => Promise.resolve(true) });
  // 'inactive' would run requests as the login role.
  Reflect.set(connection, "rlsState", "active");
  return connection;
}
