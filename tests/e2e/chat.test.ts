// Chat as applications see it: two people talk live, nobody polls, and what the channel says is what
// the lists say.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { must } from "../support/people.ts";
import { attach, chatTest, contentsFor, Listening, say, start } from "../support/chat.ts";
import { send } from "../support/requests.ts";
import { tokenOf } from "../support/auth.ts";

chatTest("a message is heard, read, edited and deleted live", async (people) => {
  const [ana, ben] = await people.talkers("Ana", "Ben");
  const talk = await start(ana, [ben]);
  const [hears, own] = await Promise.all([
    Listening.join(ben, talk.topic),
    Listening.join(ben, `user:${ben.id}`),
  ]);
  const said = await say(ana, talk, "Hello");
  const heard = await hears.event("message");
  assertEquals(heard.payload, { ...said });
  assert(heard.meta?.id, "what the database sends has an id");
  assertEquals((await own.event("notification")).payload.kind, "new_message");

  const [listed] = await must(ben.client.rpc("list_conversations"));
  assertEquals([listed.unread_count, listed.last_message.content], [1, "Hello"]);
  const answers = await Listening.join(ana, talk.topic);
  await must(ben.client.rpc("mark_conversation_read", { p_id: talk.id, p_message_id: said.id }));
  const read = await answers.event("read");
  assertEquals([read.payload.user_id, read.payload.message_id], [ben.id, said.id]);

  await must(ana.client.rpc("edit_message", { p_id: said.id, p_content: "Hello Ben" }));
  assertEquals((await hears.event("message_edited")).payload.content, "Hello Ben");
  await must(ana.client.rpc("delete_message", { p_id: said.id }));
  assertEquals((await hears.event("message_deleted")).payload.content, null);
  assertEquals(await contentsFor(ben, talk), [null]);
});

chatTest("typing and presence are among those who take part", async (people) => {
  const [ana, ben, eve] = await people.talkers("Ana", "Ben", "Eve");
  const talk = await start(ana, [ben]);
  const [first, second] = [
    await Listening.join(ana, talk.topic),
    await Listening.join(ben, talk.topic),
  ];
  await first.channel.track({ state: "here" });
  await second.channel.track({ state: "here" });
  await Promise.all([first.present(ana, ben), second.present(ana, ben)]);
  const typing = { type: "broadcast", event: "typing", payload: { user_id: ben.id } } as const;
  assertEquals(await second.channel.send(typing), "ok");
  const heard = await first.event("typing");
  assertEquals([heard.payload, heard.meta], [{ user_id: ben.id }, undefined]);

  const stranger = await Listening.ask(eve, talk.topic);
  assertMatch(
    (await stranger.statuses.next("CHANNEL_ERROR")).error!.message,
    /permissions to read/,
  );
  const foreign = await Listening.ask(eve, `user:${ana.id}`);
  assertMatch((await foreign.statuses.next("CHANNEL_ERROR")).error!.message, /permissions to read/);
  // By a request a stranger's broadcast is taken, and goes nowhere.
  const messages = [{ topic: talk.topic, event: "forged", payload: {}, private: true }];
  const { status } = await send("/realtime/v1/api/broadcast", {
    method: "POST",
    token: await tokenOf(eve.client),
    body: JSON.stringify({ messages }),
  });
  assertEquals(status, 202);
  await say(ana, talk, "Later");
  await second.event("message");
  assertEquals(second.events, ["message"]);
  await second.channel.untrack();
  await first.present(ana);
});

chatTest("a replay tells who comes later nothing of what was said before", async (people) => {
  const [ana, ben, cid] = await people.talkers("Ana", "Ben", "Cid");
  const talk = await start(ana, [ben], "group");
  const before = await say(ana, talk, "Before");
  const since = { since: Date.now() - 3_600_000 };
  // A replay does tell what was said, to those who were there.
  const again = await Listening.join(ben, talk.topic, since);
  assertEquals((await again.event("message")).payload.content, "Before");
  await must(ana.client.rpc("add_participant", { p_conversation_id: talk.id, p_user_id: cid.id }));
  const topic = await must(cid.client.rpc("conversation_topic", { p_id: talk.id })) as string;
  const late = await Listening.join(cid, topic, since);
  await must(
    ana.client.rpc("edit_message", { p_id: before.id, p_content: "Before, in other words" }),
  );
  await say(ana, talk, "After");
  assertEquals((await late.event("message")).payload.content, "After");
  const { payload } = await late.event("message_edited");
  assertEquals(["content" in payload, "metadata" in payload], [false, false]);
  assertEquals(JSON.stringify(late.heard.all).includes("Before"), false);
  const refused = await Listening.ask(cid, talk.topic, since);
  await refused.statuses.next("CHANNEL_ERROR");
});

chatTest("nobody writes to the channel of an account but the database", async (people) => {
  const [ana, ben] = await people.talkers("Ana", "Ben");
  const own = await Listening.join(ana, `user:${ana.id}`);
  const forged = { type: "broadcast", event: "notification", payload: {} } as const;
  assertEquals(await own.channel.send(forged, { timeout: 300 }), "timed out");
  const talk = await start(ben, [ana]);
  const joinedTo = await own.event("conversation_joined");
  assertEquals([joinedTo.payload.conversation_id, joinedTo.payload.topic], [talk.id, talk.topic]);
  assertEquals(own.events, ["conversation_joined"]);
});

chatTest("the same message sent by many at once is one", async (people) => {
  const [ana, ben] = await people.talkers("Ana", "Ben");
  const talk = await start(ana, [ben]);
  const sent = await Promise.all(Array.from({ length: 20 }, () => say(ana, talk, "Once", "one")));
  assertEquals(new Set(sent.map(({ id }) => id)).size, 1);
  assertEquals(await contentsFor(ben, talk), ["Once"]);
  const other = await ana.client.rpc("send_message", {
    p_conversation_id: talk.id,
    p_content: "Another",
    p_client_id: "one",
  });
  assertEquals([other.status, other.error?.message], [409, "client_id_reused"]);
});

chatTest("a conversation is started once, however many start it", async (people) => {
  const [ana, ben] = await people.talkers("Ana", "Ben");
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, n) => n % 2 ? start(ana, [ben]) : start(ben, [ana])),
  );
  assertEquals(new Set(all.map(({ id }) => id)).size, 1);
  const rows = await must(ana.client.from("conversation_participants").select());
  assertEquals(rows.length, 2);
});

chatTest("twenty who talk at once hear one order, that of the list", async (people) => {
  const names = Array.from({ length: 6 }, (_, n) => `Talker ${n}`);
  const talkers = await people.talkers(...names);
  const talk = await start(talkers[0]!, talkers.slice(1), "group");
  const hears = await Promise.all(talkers.slice(0, 3).map((t) => Listening.join(t, talk.topic)));
  await Promise.all(
    Array.from({ length: 20 }, (_, n) => say(talkers[n % talkers.length]!, talk, `${n}`)),
  );
  const heard = await Promise.all(hears.map((h) => h.heard.first(20)));
  const order = heard[0]!.map(({ payload }) => payload.id as number);
  assertEquals(order, order.toSorted((a, b) => a - b));
  for (const other of heard) assertEquals(other.map(({ payload }) => payload.id), order);
  assertEquals(heard[0]!.map(({ payload }) => payload.seq), order.map((_, n) => n + 1));
  const listed = await contentsFor(talkers[5]!, talk);
  assertEquals(listed, heard[0]!.map(({ payload }) => payload.content));
});

chatTest("a file is for those who read its message, by signed address only", async (people) => {
  const [ana, ben, eve] = await people.talkers("Ana", "Ben", "Eve");
  const talk = await start(ana, [ben]);
  const path = `${talk.id}/${crypto.randomUUID()}`;
  const file = new Blob(["bytes"], { type: "image/png" });
  const bucket = (person: typeof ana) => person.client.storage.from("chat-attachments");
  assert((await bucket(eve).upload(path, file)).error, "a stranger uploads nothing");
  await must(bucket(ana).upload(path, file));
  assert(
    (await bucket(ben).createSignedUrl(path, 10)).error,
    "before it is sent nobody else reads",
  );
  assertEquals((await attach(ben, talk, path)).status, 404);
  const message = await must(attach(ana, talk, path));
  const { signedUrl } = await must(bucket(ben).createSignedUrl(path, 10));
  assertEquals(await (await fetch(signedUrl)).text(), "bytes");
  assert((await bucket(eve).createSignedUrl(path, 10)).error, "a stranger reads nothing");
  const open = await fetch(bucket(ben).getPublicUrl(path).data.publicUrl);
  await open.body?.cancel();
  assertEquals(open.ok, false);
  await must(ana.client.rpc("delete_message", { p_id: message.id }));
  assert((await bucket(ben).createSignedUrl(path, 10)).error, "with the message goes the file");
  await must(bucket(ana).remove([path]));
});
