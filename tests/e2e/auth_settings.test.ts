// Settings of Auth as config.toml writes them, and where a link may lead: no stack needed.

import { assertEquals, assertThrows } from "@std/assert";
import { isAllowed } from "../../supabase/local/auth/redirects.ts";
import {
  durationMs,
  parseAuthSettings,
  readAuthSettings,
} from "../../supabase/local/auth/settings.ts";

for (
  const [text, ms] of [
    ["24h", 86_400_000],
    ["1h30m", 5_400_000],
    ["1.5s", 1500],
    ["250ms", 250],
    ["", undefined],
    ["none", undefined],
    ["24", undefined],
    ["24h soon", undefined],
    ["-1h", undefined],
  ] as const
) {
  Deno.test(`durationMs reads "${text}" as ${ms}`, () => {
    assertEquals(durationMs(text), ms);
  });
}

Deno.test("the project's settings are those that the product counts on", () => {
  const settings = readAuthSettings();

  assertEquals(settings.jwt_expiry, 900);
  assertEquals(settings.refresh_token_reuse_interval, 10);
  assertEquals(settings.sessions.timebox, 7 * 24 * 3600 * 1000);
  assertEquals(settings.email.otp_expiry, 3600);
  assertEquals([settings.mfa.totp.enroll_enabled, settings.mfa.totp.verify_enabled], [true, true]);
  assertEquals(settings.enable_anonymous_sign_ins, true);
});

Deno.test("settings that are left out are those of hosted Supabase", () => {
  const settings = parseAuthSettings("");

  assertEquals(settings.jwt_expiry, 3600);
  assertEquals(settings.email.double_confirm_changes, true);
  assertEquals(settings.email.max_frequency, 60_000);
  assertEquals(settings.hook.custom_access_token.enabled, false);
});

Deno.test("a duration that is none, or a code of five digits, is refused", () => {
  assertThrows(() => parseAuthSettings(`[auth.sessions]\ntimebox = "a week"`));
  assertThrows(() => parseAuthSettings(`[auth.email]\notp_length = 5`));
});

const LISTED = parseAuthSettings(`
  [auth]
  site_url = "https://app.example.org"
  additional_redirect_urls = [
    "https://*.example.org/welcome", "https://docs.example.org/**", "life://callback"
  ]`);

for (
  const [target, allowed] of [
    ["https://app.example.org", true],
    ["https://app.example.org/any/path?query#part", true],
    ["https://app.example.org:8443/", false],
    ["http://app.example.org/", false],
    ["https://app.example.org.evil.example/", false],
    ["https://beta.example.org/welcome", true],
    ["https://beta.example.org/welcome#part", true],
    ["https://beta.example.org/other", false],
    ["https://a.b.example.org/welcome", false],
    ["https://docs.example.org/a/b.html", true],
    ["https://evil.example/https://docs.example.org/", false],
    ["https://app.example.org@evil.example/", false],
    ["life://callback", true],
    ["life://callback/more", false],
    ["javascript:alert(1)", false],
    ["http://127.0.0.1:3000/", true],
    ["http://10.0.0.1/", false],
    ["http://[::1]:3000/", true],
    ["//app.example.org", false],
    ["", false],
  ] as const
) {
  Deno.test(`a link ${allowed ? "may" : "may not"} lead to "${target}"`, () => {
    assertEquals(isAllowed(target, LISTED), allowed);
  });
}
