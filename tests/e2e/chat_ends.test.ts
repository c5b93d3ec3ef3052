// Trap of private channels: who has joined one stays joined while their token is valid. Whoever is to
// hear no more is cut all the same, in the transaction that ends it, because the conversation moves.

import { assertEquals, assertMatch } from "@std/assert";
import type { Person } from "../support/auth.ts";
import {
  chatTest,
  contentsFor,
  type Conversation,
  Listening,
  newTalker,
  type People,
  say,
  start,
} from "../support/chat.ts";
import {
  databaseTest,
  hasDatabase,
  must,
  newCaregiver,
  newDoctor,
  newPatient,
  startCare,
  theAdmin,
} from "../support/people.ts";

/** Follows a conversation to where it has moved. */
async function follow(person: Person, from: Listening): Promise<Listening> {
  const { payload } = await from.event("moved");
  return await Listening.join(person, payload.topic as string);
}

/**
 * Shows that `gone` hears nothing of what is said from now on: not on the channel they are still in,
 * nor by joining where the others are, and that those who stay miss nothing.
 */
async function heardNoMore(
  talk: Conversation,
  gone: { person: Person; hears: Listening; marker: Conversation },
  stays: { person: Person; hears: Listening },
  speaker: Person,
): Promise<void> {
  const before = gone.hears.heard.all.filter(({ event }) => event === "message").length;
  const there = await follow(stays.person, stays.hears);
  await say(speaker, talk, "Without them");
  assertEquals((await there.event("message")).payload.content, "Without them");
  // Typing on the channel that was left reaches nobody who has moved on.
  const typing = { type: "broadcast", event: "typing", payload: {} } as const;
  await gone.hears.channel.send(typing, { timeout: 300 });
  // What comes after is heard after: when this is there, nothing before it is on its way.
  const elsewhere = await Listening.join(gone.person, gone.marker.topic);
  await say(speaker, gone.marker, "Marker");
  await elsewhere.event("message");
  assertEquals(gone.hears.heard.all.filter(({ event }) => event === "message").length, before);
  assertEquals(there.events.includes("typing"), false);
  const refused = await Listening.ask(gone.person, there.channel.subTopic);
  const { error } = await refused.statuses.next("CHANNEL_ERROR");
  assertMatch(error!.message, /permissions to read/);
}

async function groupOf(people: People) {
  const [ana, ben, cid] = await people.talkers("Ana", "Ben", "Cid");
  const talk = await start(ana, [ben, cid], "group");
  const marker = await start(ana, [cid]);
  const [stays, goes] = [
    await Listening.join(ben, talk.topic),
    await Listening.join(cid, talk.topic),
  ];
  await say(ana, talk, "Together");
  await Promise.all([stays.event("message"), goes.event("message")]);
  return { ana, ben, cid, talk, marker, stays, goes };
}

chatTest("who is removed hears nothing more, though their token is valid", async (people) => {
  const { ana, ben, cid, talk, marker, stays, goes } = await groupOf(people);
  await must(ana.client.rpc("remove_participant", {
    p_conversation_id: talk.id,
    p_user_id: cid.id,
  }));
  await heardNoMore(
    talk,
    { person: cid, hears: goes, marker },
    { person: ben, hears: stays },
    ana,
  );
  assertEquals(await contentsFor(cid, talk), ["Together"]);
  assertEquals(await contentsFor(ben, talk), ["Together", "Without them"]);
  await must(ana.client.rpc("add_participant", {
    p_conversation_id: talk.id,
    p_user_id: cid.id,
  }));
  await say(ben, talk, "Again");
  assertEquals(await contentsFor(cid, talk), ["Together", "Again"]);
});

chatTest(
  "who leaves hears nothing more, and the list tells where the others are",
  async (people) => {
    const { ana, ben, cid, talk, marker, stays, goes } = await groupOf(people);
    await must(cid.client.rpc("leave_conversation", { p_id: talk.id }));
    await heardNoMore(
      talk,
      { person: cid, hears: goes, marker },
      { person: ben, hears: stays },
      ana,
    );
    const rows = await must(ben.client.rpc("list_conversations"));
    assertEquals(rows[0].topic, `${talk.topic}:1`);
    assertEquals(
      await must(ben.client.rpc("conversation_topic", { p_id: talk.id })),
      `${talk.topic}:1`,
    );
  },
);

chatTest("a block cuts the two, and looks like absence", async (people) => {
  const [ana, ben] = await people.talkers("Ana", "Ben");
  const talk = await start(ana, [ben]);
  const hears = await Listening.join(ben, talk.topic);
  await must(ana.client.from("blocks").insert({ blocked_id: ben.id }).select());
  const { payload } = await hears.event("moved");
  const refused = await Listening.ask(ben, payload.topic as string);
  assertMatch((await refused.statuses.next("CHANNEL_ERROR")).error!.message, /permissions to read/);
  const nobody = { client: ben.client };
  const send = (id: string) =>
    nobody.client.rpc("send_message", { p_conversation_id: id, p_content: "?", p_client_id: "1" });
  const start_ = (id: string) =>
    nobody.client.rpc("start_conversation", { p_participant_ids: [id] });
  assertEquals((await send(talk.id)).error?.message, "not_found");
  assertEquals((await start_(ana.id)).error, (await start_(crypto.randomUUID())).error);
});

if (hasDatabase) {
  chatTest("the end of care cuts its conversation", async (people) => {
    const patient = people.know(await newPatient());
    const doctor = people.know(await newDoctor());
    const carer = people.know(await newCaregiver());
    const careId = await startCare(doctor, patient);
    await must(patient.client.rpc("request_care", {
      p_member_or_patient_id: carer.id,
      p_kind: "caregiver",
      p_scopes: ["messages"],
    }));
    const talk = await start(doctor, [patient, carer], "care");
    // Care shows them to each other; this conversation goes on after it.
    const marker = await start(patient, [doctor]);
    const [stays, goes] = [
      await Listening.join(carer, talk.topic),
      await Listening.join(doctor, talk.topic),
    ];
    await say(patient, talk, "Together");
    await goes.event("message");
    await must(patient.client.rpc("end_care", { p_id: careId }));
    await heardNoMore(
      talk,
      { person: doctor, hears: goes, marker },
      { person: carer, hears: stays },
      patient,
    );
    const { status } = await doctor.client.rpc("list_messages", { p_conversation_id: talk.id });
    assertEquals(status, 404);
  });
}

databaseTest("who is locked hears nothing more", async () => {
  const admin = await theAdmin();
  const [ana, ben, cid] = await Promise.all(["Ana", "Ben", "Cid"].map(newTalker));
  try {
    const talk = await start(ana!, [ben!, cid!], "group");
    const [stays, goes] = [
      await Listening.join(ben!, talk.topic),
      await Listening.join(cid!, talk.topic),
    ];
    await must(
      admin.client.rpc("set_account_active", {
        p_user_id: cid!.id,
        p_active: false,
        p_reason: "Abuse",
      }),
    );
    const there = await follow(ben!, stays);
    await say(ana!, talk, "Without them");
    await there.event("message");
    await goes.event("moved");
    const refused = await Listening.ask(cid!, there.channel.subTopic);
    await refused.statuses.next("CHANNEL_ERROR");
    assertEquals(goes.events, ["moved"]);
  } finally {
    await Promise.all([ana, ben, cid].map((person) => person!.client.realtime.disconnect()));
  }
});
