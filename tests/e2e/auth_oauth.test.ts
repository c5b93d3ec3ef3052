// Sign-in through another provider, with a double of GitHub on this machine.

import { assertEquals, assertMatch } from "@std/assert";
import { decodeJwt } from "jose";
import { parseAuthSettings } from "../../supabase/local/auth/settings.ts";
import { newEmail, present } from "../support/auth.ts";
import { canOwnAuth, type OwnAuth, withOwnAuth } from "../support/own_auth.ts";

/** Runs `work` with an Auth that takes this person's word from a GitHub of its own. */
async function withGithub(
  person: { id: number; email: string; verified?: boolean },
  work: (auth: OwnAuth) => Promise<void>,
): Promise<void> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/login/oauth/access_token") {
      return Response.json({ access_token: "of-github", token_type: "bearer" });
    }
    if (pathname === "/api/v3/user") {
      return Response.json({ id: person.id, login: "ada", name: "Ada" });
    }
    return Response.json([{
      email: person.email,
      primary: true,
      verified: person.verified ?? true,
    }]);
  });
  const settings = parseAuthSettings(`
    [auth]
    site_url = "http://127.0.0.1:3000"
    [auth.email]
    enable_confirmations = true
    [auth.sessions]
    timebox = "168h"
    [auth.external.github]
    enabled = true
    client_id = "client"
    secret = "secret"
    url = "http://127.0.0.1:${server.addr.port}"`);
  try {
    await withOwnAuth(work, settings);
  } finally {
    await server.shutdown();
  }
}

/** Goes to the provider and back as a browser does; answers where the site is reached. */
async function signIn(
  { send, context: { apiUrl } }: OwnAuth,
  query: Record<string, string>,
): Promise<URL> {
  const start = new URL(`${apiUrl}/auth/v1/authorize`);
  start.search = new URLSearchParams({ provider: "github", ...query }).toString();
  const there = await send(new Request(start, { redirect: "manual" }));
  assertEquals(there.status, 302);
  const provider = new URL(present(there.headers.get("location")));
  const back = new URL(present(provider.searchParams.get("redirect_uri")));
  back.searchParams.set("code", "of-github");
  back.searchParams.set("state", present(provider.searchParams.get("state")));
  const home = await send(new Request(back, { redirect: "manual" }));
  assertEquals(home.status, 302);
  return new URL(present(home.headers.get("location")));
}

Deno.test({
  name: "a provider's person gets an account and tokens of ours (needs the embedded stack)",
  ignore: !canOwnAuth,
  fn: async () => {
    const person = { id: Math.floor(Math.random() * 1e9), email: newEmail() };
    await withGithub(person, async (auth) => {
      const home = await signIn(auth, {});
      assertEquals(home.origin, "http://127.0.0.1:3000");
      const tokens = new URLSearchParams(home.hash.slice(1));
      const claims = decodeJwt(present(tokens.get("access_token")));
      assertEquals(claims.iss, `${auth.context.apiUrl}/auth/v1`);
      assertEquals([claims.email, claims.aal], [person.email, "aal1"]);
      assertEquals((claims.amr as { method: string }[])[0]?.method, "oauth");
      assertEquals(claims.app_metadata, { provider: "github", providers: ["github"] });

      const client = auth.newClient();
      const { data, error } = await client.auth.setSession({
        access_token: present(tokens.get("access_token")),
        refresh_token: present(tokens.get("refresh_token")),
      });
      assertEquals(error, null);
      assertEquals(data.user?.user_metadata.full_name, "Ada");
      assertEquals(data.user?.identities?.[0]?.identity_data?.user_name, "ada");
      assertEquals((await client.auth.refreshSession()).error, null);
      const [session] = await auth.context.admin`
        select host(ip) as ip, not_after > created_at as ends from auth.sessions
        where id = ${String(claims.session_id)}`;
      assertEquals(session, { ip: "127.0.0.1", ends: true });
    });
  },
});

Deno.test({
  name: "a PKCE client exchanges the provider's code for tokens of ours (needs the embedded stack)",
  ignore: !canOwnAuth,
  fn: async () => {
    const person = { id: Math.floor(Math.random() * 1e9), email: newEmail() };
    await withGithub(person, async (auth) => {
      const { apiUrl, keys } = auth.context;
      const verifier = "v".repeat(50);
      const home = await signIn(auth, { code_challenge: verifier, code_challenge_method: "plain" });
      assertEquals(home.hash, "");
      const exchange = async (code_verifier: string) => {
        const request = new Request(`${apiUrl}/auth/v1/token?grant_type=pkce`, {
          method: "POST",
          headers: { apikey: keys.publishable, "x-supabase-api-version": "2024-01-01" },
          body: JSON.stringify({ auth_code: home.searchParams.get("code"), code_verifier }),
        });
        const answer = await auth.send(request);
        return { status: answer.status, body: await answer.json() };
      };

      const wrong = await exchange("w".repeat(50));
      assertEquals([wrong.status, wrong.body.code], [400, "bad_code_verifier"]);
      const { status, body } = await exchange(verifier);
      assertEquals([status, body.user.email], [200, person.email]);
      assertEquals((decodeJwt(body.access_token).amr as { method: string }[])[0]?.method, "oauth");
      assertMatch(body.refresh_token, /\S+/);
    });
  },
});

Deno.test({
  name: "a banned person does not come in through a provider (needs the embedded stack)",
  ignore: !canOwnAuth,
  fn: async () => {
    const person = { id: Math.floor(Math.random() * 1e9), email: newEmail() };
    await withGithub(person, async (auth) => {
      const home = await signIn(auth, {});
      const token = present(new URLSearchParams(home.hash.slice(1)).get("access_token"));
      const { admin } = auth.newClient(auth.context.keys.secret).auth;
      await admin.updateUserById(present(decodeJwt(token).sub), { ban_duration: "1h" });
      const refused = await signIn(auth, {});

      assertEquals(refused.hash.includes("access_token"), false);
      assertEquals(refused.searchParams.get("error_code"), "user_banned");
    });
  },
});

Deno.test({
  name: "an address that a provider has not verified is proved by mail (needs the embedded stack)",
  ignore: !canOwnAuth,
  fn: async () => {
    const email = newEmail();
    const person = { id: Math.floor(Math.random() * 1e9), email, verified: false };
    await withGithub(person, async (auth) => {
      const refused = await signIn(auth, {});
      assertEquals(refused.searchParams.get("error_code"), "provider_email_needs_verification");
      const { link } = auth.latestMail(email);
      assertEquals(link.startsWith(`${auth.context.apiUrl}/auth/v1/verify?`), true);
      const followed = await auth.send(new Request(link));
      assertMatch(present(followed.headers.get("location")), /#access_token=/);

      const home = await signIn(auth, {});
      assertMatch(home.hash, /access_token=/);
    });
  },
});

Deno.test({
  name:
    "a provider that is not enabled is refused in the client's shape (needs the embedded stack)",
  ignore: !canOwnAuth,
  fn: () =>
    withOwnAuth(async ({ send, context }) => {
      const request = new Request(`${context.apiUrl}/auth/v1/authorize?provider=google`, {
        headers: { "x-supabase-api-version": "2024-01-01" },
      });
      const answer = await send(request);

      assertEquals([answer.status, await answer.json()], [400, {
        code: "validation_failed",
        message: "Unsupported provider: provider is not enabled",
      }]);
    }),
});
