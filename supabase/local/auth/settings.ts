// Settings of Auth: the [auth] table of supabase/config.toml, with the defaults of hosted Supabase.

import { join } from "@std/path";
import { parse } from "@std/toml";
import { z } from "zod";
import { PROJECT } from "../cli.ts";

const UNIT_MS = { ns: 1e-6, us: 1e-3, "µs": 1e-3, ms: 1, s: 1e3, m: 60e3, h: 3600e3 };

/**
 * Milliseconds of a duration in Go's notation, or undefined when it is none.
 *
 * @example
 * durationMs("1h30m"); // 5_400_000
 */
export function durationMs(text: string): number | undefined {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join("") !== text) return undefined;
  return parts.reduce(
    (sum, [, number, unit]) => sum + Number(number) * UNIT_MS[unit as keyof typeof UNIT_MS],
    0,
  );
}

const Duration = z.string().transform((text, context) => {
  const ms = durationMs(text);
  if (ms === undefined) context.addIssue(`Duration must read like "24h": it is "${text}"`);
  return ms ?? 0;
});

const Hook = z.object({ enabled: z.boolean().default(false), uri: z.string().default("") });

const Provider = z.object({
  enabled: z.boolean().default(false),
  client_id: z.string().default(""),
  secret: z.string().default(""),
  redirect_uri: z.string().optional(),
  url: z.string().optional(),
  skip_nonce_check: z.boolean().optional(),
});

const Auth = z.object({
  site_url: z.string().default("http://127.0.0.1:3000"),
  additional_redirect_urls: z.array(z.string()).default([]),
  jwt_expiry: z.int().positive().default(3600),
  enable_signup: z.boolean().default(true),
  enable_anonymous_sign_ins: z.boolean().default(false),
  enable_refresh_token_rotation: z.boolean().default(true),
  refresh_token_reuse_interval: z.int().nonnegative().default(10),
  minimum_password_length: z.int().min(6).default(6),
  password_requirements: z.enum([
    "",
    "letters_digits",
    "lower_upper_letters_digits",
    "lower_upper_letters_digits_symbols",
  ]).default(""),
  email: z.object({
    enable_signup: z.boolean().default(true),
    enable_confirmations: z.boolean().default(false),
    double_confirm_changes: z.boolean().default(true),
    secure_password_change: z.boolean().default(false),
    max_frequency: Duration.prefault("60s"),
    otp_length: z.int().min(6).max(10).default(6),
    otp_expiry: z.int().positive().max(86_400).default(3600),
  }).prefault({}),
  sessions: z.object({
    timebox: Duration.optional(),
    inactivity_timeout: Duration.optional(),
  }).prefault({}),
  mfa: z.object({
    max_enrolled_factors: z.int().positive().default(10),
    totp: z.object({
      enroll_enabled: z.boolean().default(false),
      verify_enabled: z.boolean().default(false),
    }).prefault({}),
  }).prefault({}),
  hook: z.object({
    before_user_created: Hook.prefault({}),
    custom_access_token: Hook.prefault({}),
    mfa_verification_attempt: Hook.prefault({}),
    password_verification_attempt: Hook.prefault({}),
  }).prefault({}),
  external: z.record(z.string(), Provider).default({}),
});

/**
 * Settings of Auth, named as in config.toml. Durations that are text there are milliseconds here;
 * `jwt_expiry`, `otp_expiry` and `refresh_token_reuse_interval` are seconds.
 */
export type AuthSettings = z.infer<typeof Auth>;

/** Reads the [auth] table of the project's config.toml. */
export function readAuthSettings(): AuthSettings {
  const text = Deno.readTextFileSync(join(PROJECT, "supabase", "config.toml"));
  return parseAuthSettings(text);
}

/** Reads the [auth] table out of the text of a config.toml. */
export function parseAuthSettings(toml: string): AuthSettings {
  return Auth.parse((parse(toml) as { auth?: unknown }).auth ?? {});
}
