// Sessions over time, with a clock that the test moves: rotation and reuse of refresh tokens,
// the seven days of a session, one-time codes and challenges that grow old.

import { assertEquals, assertNotEquals } from "@std/assert";
import type { SupabaseClient } from "@supabase/supabase-js";
import { newEmail, PASSWORD, present, totpCode } from "../support/auth.ts";
import { canOwnAuth, type OwnAuth, withOwnAuth } from "../support/own_auth.ts";

const ignore = !canOwnAuth;
const DAY_SECONDS = 24 * 3600;

async function signUp(client: SupabaseClient, email = newEmail()) {
  const { data } = await client.auth.signUp({ email, password: PASSWORD });
  return { email, session: present(data.session) };
}

/** Exchanges a refresh token, by a request of its own: clients of one process take turns. */
async function refresh({ context: { apiUrl, keys }, send }: OwnAuth, refresh_token: string) {
  const answer = await send(
    new Request(`${apiUrl}/auth/v1/token?grant_type=refresh_token`, {
      method: "POST",
      headers: { apikey: keys.publishable, "x-supabase-api-version": "2024-01-01" },
      body: JSON.stringify({ refresh_token }),
    }),
  );
  const body = await answer.json();
  return { next: body.refresh_token, code: body.code, status: answer.status };
}

Deno.test({
  name: "refresh tokens rotate, and a late repeat ends them all (needs the embedded stack)",
  ignore,
  fn: () =>
    withOwnAuth(async (auth) => {
      const { session } = await signUp(auth.newClient());
      const first = session.refresh_token;
      const second = present((await refresh(auth, first)).next);
      assertNotEquals(second, first);

      // A client that lost the answer asks again at once, and gets the same successor.
      assertEquals((await refresh(auth, first)).next, second);
      // The parent of the newest token may be repeated later too: nobody has used its successor.
      auth.advance(60);
      assertEquals((await refresh(auth, first)).next, second);

      const third = present((await refresh(auth, second)).next);
      auth.advance(9);
      assertEquals((await refresh(auth, second)).next, third);
      auth.advance(2);
      // Now the first is an ancestor, and its time is over: somebody else must have it.
      const theft = await refresh(auth, first);
      assertEquals([theft.status, theft.code], [400, "refresh_token_already_used"]);
      for (const token of [first, second, third]) {
        assertEquals((await refresh(auth, token)).code, "refresh_token_already_used");
      }
    }),
});

Deno.test({
  name: "twenty parallel refreshes with one token give one successor (needs the embedded stack)",
  ignore,
  fn: () =>
    withOwnAuth(async (auth) => {
      const { session } = await signUp(auth.newClient());
      // Opened before, the connections of the pool begin at the same moment.
      const { admin } = auth.context;
      await Promise.all(Array.from({ length: 10 }, () => admin`select pg_sleep(0.2)`));
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => refresh(auth, session.refresh_token)),
      );

      assertEquals(new Set(answers.map(({ next }) => next)).size, 1);
      const [row] = await auth.context.admin`
        select count(*)::integer as made, count(*) filter (where not revoked)::integer as live
        from auth.refresh_tokens where user_id = ${session.user.id}`;
      assertEquals([row?.made, row?.live], [2, 1]);
    }),
});

Deno.test({
  name: "a session can be refreshed for seven days and no longer (needs the embedded stack)",
  ignore,
  fn: () =>
    withOwnAuth(async (auth) => {
      const { session, email } = await signUp(auth.newClient());
      auth.advance(7 * DAY_SECONDS - 60);
      const last = present((await refresh(auth, session.refresh_token)).next);
      auth.advance(60);
      const late = await refresh(auth, last);

      assertEquals([late.status, late.code], [400, "session_expired"]);
      const again = await auth.newClient().auth.signInWithPassword({ email, password: PASSWORD });
      assertEquals(again.error, null);
    }),
});

Deno.test({
  name: "a one-time code is good for an hour, and one is sent a minute (needs the embedded stack)",
  ignore,
  fn: () =>
    withOwnAuth(async (auth) => {
      const client = auth.newClient();
      const email = newEmail();
      assertEquals((await client.auth.signInWithOtp({ email })).error, null);
      const early = await client.auth.signInWithOtp({ email });
      assertEquals([early.error?.status, early.error?.code], [429, "over_email_send_rate_limit"]);

      auth.advance(3601);
      const old = auth.latestMail(email);
      const late = await client.auth.verifyOtp({ email, token: old.otp, type: "email" });
      assertEquals([late.error?.status, late.error?.code], [403, "otp_expired"]);

      assertEquals((await client.auth.signInWithOtp({ email })).error, null);
      auth.advance(3599);
      const { otp } = auth.latestMail(email);
      const timely = await client.auth.verifyOtp({ email, token: otp, type: "email" });
      assertEquals(timely.error, null);
    }),
});

Deno.test({
  name: "a challenge lives five minutes, an unused factor too (needs the embedded stack)",
  ignore,
  fn: () =>
    withOwnAuth(async (auth) => {
      const client = auth.newClient();
      const { email } = await signUp(client);
      const { data } = await client.auth.mfa.enroll({ factorType: "totp", friendlyName: "one" });
      const { id, totp } = present(data);
      const challenge = present((await client.auth.mfa.challenge({ factorId: id })).data);
      auth.advance(301);
      const code = totpCode(totp.secret, auth.context.now());
      const late = await client.auth.mfa.verify({ factorId: id, challengeId: challenge.id, code });
      assertEquals([late.error?.status, late.error?.code], [422, "mfa_challenge_expired"]);

      const unused = await client.auth.mfa.enroll({ factorType: "totp", friendlyName: "two" });
      assertEquals(unused.error, null);
      auth.advance(301);
      await client.auth.mfa.enroll({ factorType: "totp", friendlyName: "three" });
      const { data: factors } = await client.auth.mfa.listFactors();
      // "one" was challenged, so somebody may be at it; "two" never was.
      assertEquals(factors?.all.map(({ friendly_name }) => friendly_name), ["one", "three"]);
      assertEquals(typeof email, "string");
    }),
});

Deno.test({
  name: "the refresh tokens from before a second factor are over (needs the embedded stack)",
  ignore,
  fn: () =>
    withOwnAuth(async (auth) => {
      const client = auth.newClient();
      const { session } = await signUp(client);
      const { data } = await client.auth.mfa.enroll({ factorType: "totp" });
      const { id, totp } = present(data);
      const raised = await client.auth.mfa.challengeAndVerify({
        factorId: id,
        code: totpCode(totp.secret, auth.context.now()),
      });
      const kept = present(raised.data).refresh_token;
      assertEquals((await refresh(auth, session.refresh_token)).next, kept);

      auth.advance(11);
      const late = await refresh(auth, session.refresh_token);
      assertEquals([late.status, late.code], [400, "refresh_token_already_used"]);
    }),
});

Deno.test({
  name: "a ban ends when its time is over (needs the embedded stack)",
  ignore,
  fn: () =>
    withOwnAuth(async (auth) => {
      const { email, session } = await signUp(auth.newClient());
      const admin = auth.newClient(auth.context.keys.secret);
      const banned = await admin.auth.admin.updateUserById(session.user.id, {
        ban_duration: "1h30m",
      });
      assertEquals(banned.error, null);

      const signIn = () => auth.newClient().auth.signInWithPassword({ email, password: PASSWORD });
      assertEquals((await signIn()).error?.code, "user_banned");
      auth.advance(5399);
      assertEquals((await signIn()).error?.code, "user_banned");
      auth.advance(2);
      assertEquals((await signIn()).error, null);
    }),
});

Deno.test({
  name: "a session that a ban has left is of no use (needs the embedded stack)",
  ignore,
  fn: () =>
    withOwnAuth(async (auth) => {
      const client = auth.newClient();
      const { session } = await signUp(client);
      await auth.context.admin.begin(async (tx) => {
        // Without the project's trigger, which would delete the session.
        await tx`set local session_replication_role = replica`;
        await tx`
          update auth.users set banned_until = now() + interval '1 hour'
          where id = ${session.user.id}`;
      });
      const user = await client.auth.getUser();
      const factor = await client.auth.mfa.enroll({ factorType: "totp" });
      const refreshed = await refresh(auth, session.refresh_token);

      assertEquals([user.error?.status, user.error?.code], [403, "user_banned"]);
      assertEquals([factor.error?.status, factor.error?.code], [403, "user_banned"]);
      assertEquals([refreshed.status, refreshed.code], [400, "user_banned"]);
    }),
});
