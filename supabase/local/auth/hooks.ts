// Hooks: functions of the project's database that Auth asks before it creates a user, lets a
// password or a factor pass, or signs a token. Hooks over HTTP are not run by this stack.

import type postgres from "postgres";
import { z } from "zod";
import { describeError } from "../log_errors.ts";
import { AuthError } from "./errors.ts";
import type { AuthService, Db } from "./service.ts";
import type { AuthSettings } from "./settings.ts";

const TIMEOUT_MS = 2000;

/** Hooks that can be configured, with the name each is told that it is called by. */
const NAMES = {
  before_user_created: "before-user-created",
  custom_access_token: "customize-access-token",
  mfa_verification_attempt: "mfa-verification",
  password_verification_attempt: "password-verification",
} as const;

/** Name of a hook in config.toml. */
export type HookName = keyof typeof NAMES & keyof AuthSettings["hook"];

const Output = z.looseObject({
  error: z.object({
    http_code: z.int().min(400).max(599).optional(),
    message: z.string().optional(),
  }).optional(),
});

const Decision = z.object({
  decision: z.enum(["continue", "reject"]).optional(),
  message: z.string().optional(),
  should_logout_user: z.boolean().optional(),
});

/**
 * Asks a hook inside `tx` and returns what it answers, or undefined when none is configured.
 *
 * @throws {AuthError} The error that the hook answers, or one that says that it failed.
 */
export async function runHook(
  service: AuthService,
  tx: Db,
  name: HookName,
  input: Record<string, unknown>,
  ip: string,
): Promise<Record<string, unknown> | undefined> {
  const { enabled, uri } = service.settings.hook[name];
  if (!enabled) return undefined;
  const metadata = {
    uuid: crypto.randomUUID(),
    time: service.now().toISOString(),
    name: NAMES[name],
    ip_address: ip,
  };
  const output = Output.parse(await call(tx, uri, { metadata, ...input }));
  if (!output.error) return output;
  const { http_code = 500, message = "" } = output.error;
  throw new AuthError(http_code, http_code >= 500 ? "unexpected_failure" : "unknown", message);
}

/** The hook's word on an attempt; without a hook the attempt goes on. */
export async function askHook(
  service: AuthService,
  name: "mfa_verification_attempt" | "password_verification_attempt",
  input: Record<string, unknown>,
  ip: string,
): Promise<z.infer<typeof Decision>> {
  if (!service.settings.hook[name].enabled) return {};
  // Its own transaction: what the hook counts must outlive the refusal that follows.
  const answer = await service.write((tx) => runHook(service, tx, name, input, ip));
  return Decision.parse(answer ?? {});
}

async function call(tx: Db, uri: string, input: Record<string, unknown>): Promise<unknown> {
  const { schema, name } = hookFunction(uri);
  try {
    await tx`select set_config('statement_timeout', ${String(TIMEOUT_MS)}, true)`;
    const [row] = await tx`
      select ${tx(schema)}.${tx(name)}(${tx.json(input as postgres.JSONValue)}::jsonb) as output`;
    await tx`select set_config('statement_timeout', '0', true)`;
    return row?.output ?? {};
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "57014") {
      throw new AuthError(
        422,
        "hook_timeout",
        `Failed to reach hook within maximum time of ${TIMEOUT_MS / 1000} seconds`,
      );
    }
    console.error(`auth: hook ${uri} failed: ${describeError(error)}`);
    throw new AuthError(500, "unexpected_failure", `Error running hook URI: ${uri}`);
  }
}

/** Schema and name in `pg-functions://postgres/<schema>/<name>`. */
function hookFunction(uri: string): { schema: string; name: string } {
  const [, schema, name] = /^pg-functions:\/\/[^/]+\/([^/]+)\/([^/]+)$/.exec(uri) ?? [];
  if (schema && name) return { schema, name };
  throw new AuthError(
    500,
    "unexpected_failure",
    `Hook URI must be pg-functions://postgres/<schema>/<function>: it is ${uri}`,
  );
}
