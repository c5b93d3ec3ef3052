// Notifications with the unmodified client: what an account is told of its own sign-ins and factors,
// preferences set by upsert, and reading, listing and deleting.

import { assertEquals } from "@std/assert";
import { newPerson, present, signInAgain } from "../support/auth.ts";
import { must, newPatient, raiseToAal2 } from "../support/people.ts";
import { refusal } from "../support/records.ts";

Deno.test("a second sign-in and a second factor are told to the account, a sign-up is not", async () => {
  const person = await newPerson();
  const kinds = async () =>
    (await must(person.client.rpc("list_notifications")))
      .map(({ kind }: { kind: string }) => kind).toSorted();
  assertEquals(await kinds(), []);

  await signInAgain(person);
  assertEquals(await kinds(), ["new_sign_in"]);

  await raiseToAal2(person.client);
  assertEquals(await kinds(), ["mfa_changed", "new_sign_in"]);

  // A refreshed token is the same session.
  await person.client.auth.refreshSession();
  assertEquals(await kinds(), ["mfa_changed", "new_sign_in"]);
});

Deno.test("preferences are set by upsert, and security cannot be switched off", async () => {
  const { client, id } = await newPatient();
  const upsert = (row: Record<string, unknown>) =>
    client.from("notification_preferences")
      .upsert(row, { onConflict: "user_id,kind,channel" }).select("enabled, quiet_from, detail");
  const wanted = { user_id: id, kind: "record_shared", channel: "email", detail: "full" };

  await must(upsert({ ...wanted, quiet_from: "22:00", quiet_to: "07:00" }));
  assertEquals(
    await must(upsert({ ...wanted, enabled: false, quiet_from: null, quiet_to: null })),
    [
      { enabled: false, quiet_from: null, detail: "full" },
    ],
  );

  assertEquals(
    refusal(await upsert({ ...wanted, kind: "new_sign_in", enabled: false })),
    [403, "forbidden"],
  );
  assertEquals(refusal(await upsert({ ...wanted, kind: "lottery_won" })), [400, "invalid_request"]);
});

Deno.test("notifications are listed in pages, read and deleted", async () => {
  const person = await newPatient();
  const { client } = person;
  for (let n = 0; n < 3; n++) await signInAgain(person);

  const [newest] = await must(client.rpc("list_notifications", { p_limit: 1 }));
  assertEquals(present(newest).unread_count, 3);
  const rest = await must(client.rpc("list_notifications", { p_cursor: newest.cursor }));
  assertEquals(rest.length, 2);

  await must(client.rpc("mark_notification_read", { p_id: newest.id }).select());
  const unread = await must(client.rpc("list_notifications", { p_unread_only: true }));
  assertEquals(
    unread.map(({ id }: { id: string }) => id),
    rest.map(({ id }: { id: string }) => id),
  );

  const deleted = await client.rpc("delete_notification", { p_id: newest.id });
  assertEquals(deleted.error, null);
  const again = await client.rpc("delete_notification", { p_id: newest.id });
  assertEquals(refusal(again), [404, "not_found"]);
  // Whoever has got into an account cannot stop the mail that warns its owner.
  const left = await must(client.from("notification_deliveries").select("status, notification_id"));
  const warnings = left.filter(({ notification_id }) => notification_id === newest.id);
  assertEquals(warnings.map(({ status }) => status), ["pending"]);
});
