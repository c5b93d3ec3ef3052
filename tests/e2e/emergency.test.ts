// Emergencies with the unmodified client: a doctor opens a chart without a relationship, everybody
// who has to know is told, an administrator reviews, the patient objects; and refusals, which leave
// a row in the patient's log.

import { assert, assertEquals } from "@std/assert";
import { newPerson, type Person, present, signInAgain, tokenOf } from "../support/auth.ts";
import { auditOf } from "../support/digest.ts";
import {
  databaseTest,
  must,
  newAdmin,
  newDoctor,
  newPatient,
  withDatabase,
} from "../support/people.ts";
import { comparable, send } from "../support/requests.ts";
import { as, people, race, raceTest, RUNNERS, tally } from "../support/races.ts";
import { newRecord, refusal } from "../support/records.ts";

const REASON = "Found unconscious at the station, no relative at hand";

const FILE = {
  file_name: "scan.txt",
  file_type: "text/plain",
  file_size: 4,
  file_sha256: "a".repeat(64),
};

const breakGlass = ({ client }: Person, patient: Person, p_reason = REASON) =>
  client.rpc("break_glass", { p_patient_id: patient.id, p_reason });

const titlesSeenBy = async ({ client }: Person, patient: Person): Promise<string[]> => {
  const rows = await must(
    client.from("medical_records").select("title").eq("patient_id", patient.id),
  );
  return rows.map(({ title }) => title);
};

/** What somebody is told about one chart, oldest first. */
async function toldAbout({ client }: Person, chartId: string): Promise<string[]> {
  const rows = await must(
    client.from("notifications").select("kind").eq("data->>chart_id", chartId).order("created_at"),
  );
  return rows.map(({ kind }) => kind);
}

/** The patient's log in words, oldest first. */
async function logOf({ client }: Person): Promise<string[]> {
  const rows = await must(client.rpc("my_access_log", { p_limit: 100 }));
  return rows.toReversed().map(
    ({ summary, reason, is_emergency, outcome }: Record<string, unknown>) =>
      [summary, reason, is_emergency ? "emergency" : "-", outcome].join(" / "),
  );
}

databaseTest("an emergency, from the breaking of the glass to the objection", async (t) => {
  const [patient, doctor, admin] = await Promise.all([newPatient(), newDoctor(), newAdmin()]);
  await newRecord(patient, patient.id, { title: "Blood group" });
  let chartId = "";

  await t.step("the doctor opens the chart for thirty minutes, with a reason", async () => {
    assertEquals(await titlesSeenBy(doctor, patient), []);
    const short = await breakGlass(doctor, patient, "   Urgent   ");
    assertEquals(refusal(short), [400, "invalid_request"]);
    const { data, error, status } = await breakGlass(doctor, patient);
    assertEquals([status, error], [200, null]);
    chartId = data.id;
    const minutes = (Date.parse(data.expires_at) - Date.now()) / 60_000;
    assert(minutes > 28 && minutes < 32, `the chart is open for ${minutes} minutes`);
    assertEquals(await titlesSeenBy(doctor, patient), ["Blood group"]);
  });

  await t.step("patient and administrator are told at once, without health data", async () => {
    assertEquals(await toldAbout(patient, chartId), ["emergency_access"]);
    assertEquals(await toldAbout(admin, chartId), ["emergency_review_due"]);
    assertEquals(await toldAbout(doctor, chartId), []);
    const { title, body, data } = await must(
      patient.client.from("notifications").select("title, body, data").single(),
    );
    assertEquals(title, "Your chart was opened in an emergency");
    assert(!`${title} ${body}`.includes("unconscious"));
    assertEquals(data, { chart_id: chartId, viewer_id: doctor.id });
    assertEquals(await must(patient.client.rpc("mark_all_notifications_read")), 1);
  });

  await t.step("the next emergency waits for the review of this one", async () => {
    const other = await newPatient();
    await must(doctor.client.rpc("close_chart", { p_id: chartId }));
    for (const person of [patient, other]) {
      assertEquals(refusal(await breakGlass(doctor, person)), [409, "review_pending"]);
      assertEquals(await titlesSeenBy(doctor, person), []);
    }
    assertEquals(await logOf(other), [
      "Tried to open your chart in an emergency and was refused: an earlier emergency of theirs " +
      "has not been reviewed / In an emergency / emergency / refused",
    ]);
  });

  await t.step("an administrator lists and reviews it, once", async () => {
    const list = await must(admin.client.rpc("list_emergency_accesses", { p_limit: 100 }));
    const row = list.find(({ id }: { id: string }) => id === chartId);
    assertEquals([row.reason, row.reviewed_at, row.viewer_id], [REASON, null, doctor.id]);
    const review = ({ client }: Person) =>
      client.rpc("review_emergency_access", {
        p_id: chartId,
        p_outcome: "justified",
        p_note: "The ward confirms it",
      });
    assertEquals(refusal(await review(doctor)), [403, "forbidden"]);
    assertEquals(refusal(await review(patient)), [403, "forbidden"]);
    assertEquals((await review(admin)).error, null);
    assertEquals(refusal(await review(admin)), [409, "already_reviewed"]);
    assertEquals(await toldAbout(doctor, chartId), ["emergency_reviewed"]);
    assertEquals(await toldAbout(patient, chartId), ["emergency_access", "emergency_reviewed"]);
  });

  await t.step("the patient reads all of it, and objects", async () => {
    const object = () =>
      patient.client.rpc("object_to_emergency_access", { p_id: chartId, p_note: "I was awake" });
    assertEquals((await object()).error, null);
    assertEquals(refusal(await object()), [409, "already_objected"]);
    const chart = await must(
      patient.client.from("chart_sessions").select(
        "purpose, reason, review_outcome, review_note, objection",
      ).single(),
    );
    assertEquals(chart, {
      purpose: "emergency",
      reason: REASON,
      review_outcome: "justified",
      review_note: "The ward confirms it",
      objection: "I was awake",
    });
    assertEquals(await toldAbout(admin, chartId), ["emergency_review_due", "emergency_objection"]);
    assertEquals(await logOf(patient), [
      `Opened your chart in an emergency / In an emergency: ${REASON} / emergency / done`,
      "Closed your chart / In an emergency / emergency / done",
      "Tried to open your chart in an emergency and was refused: an earlier emergency of theirs " +
      "has not been reviewed / In an emergency / emergency / refused",
      "Tried to review an emergency access to your chart and was refused: may not do this / " +
      "In an emergency / emergency / refused",
      "Reviewed an emergency access to your chart / In an emergency / emergency / done",
      "Tried to review an emergency access to your chart and was refused: it has been reviewed / " +
      "In an emergency / emergency / refused",
    ]);
  });

  await t.step("with the review done the doctor may open in an emergency again", async () => {
    assertEquals((await breakGlass(doctor, patient)).error, null);
    assertEquals(await titlesSeenBy(doctor, patient), ["Blood group"]);
  });
});

databaseTest("of twenty emergencies of a doctor at once exactly one opens a chart", async () => {
  const doctor = await newDoctor();
  const patients = await Promise.all(Array.from({ length: 4 }, () => newPatient()));

  const answers = await Promise.all(
    Array.from({ length: RUNNERS }, (_, n) => breakGlass(doctor, present(patients[n % 4]))),
  );

  const outcomes = answers.map((answer) => answer.error ? refusal(answer).join(" ") : "opened");
  assertEquals(tally(outcomes), { opened: 1, "409 review_pending": RUNNERS - 1 });
  const charts = await must(doctor.client.from("chart_sessions").select("patient_id"));
  assertEquals(charts.length, 1);
  const trail = (await Promise.all(patients.map(({ id }) => auditOf(id)))).flat()
    .filter(({ actor_id }) => actor_id === doctor.id).map(({ action }) => action);
  assertEquals(tally(trail), { break_glass: 1, refuse_break_glass: RUNNERS - 1 });
  const told = await Promise.all(
    patients.map(({ client }) => must(client.from("notifications").select("kind"))),
  );
  assertEquals(told.flat(), [{ kind: "emergency_access" }]);
});

// The API may let requests in one after the other; these start together, each on a connection of its
// own.
raceTest("of twenty emergencies at the same moment exactly one opens a chart", async (db) => {
  for (let round = 0; round < 3; round++) {
    const [doctor, ...patients] = await people(db, "doctor", "patient", "patient", "patient");

    const outcomes = await race(db, (n) =>
      as(doctor, async (tx) => {
        await tx`select public.break_glass(${present(patients[n % 3]).id}, ${REASON})`;
      }));

    assertEquals(tally(outcomes), { "ok": 1, "PT409 review_pending": RUNNERS - 1 });
    const [found] = await db`
      select
        (select count(*)::int from public.chart_sessions where viewer_id = ${doctor.id}) as charts,
        (select count(*)::int from public.notifications
          where data ->> 'viewer_id' = ${doctor.id}) as told,
        (select count(*)::int from public.audit_events
          where actor_id = ${doctor.id} and action = 'refuse_break_glass') as refused`;
    assertEquals({ ...found }, { charts: 1, told: 1, refused: RUNNERS - 1 });
  }
});

databaseTest("of twenty reviews, and of twenty objections, exactly one counts", async () => {
  const [patient, doctor, ...admins] = await Promise.all([
    newPatient(),
    newDoctor(),
    newAdmin(),
    newAdmin(),
  ]);
  const { id: p_id } = await must(breakGlass(doctor, patient));
  const outcomes = ["justified", "unjustified"];

  const reviews = await Promise.all(Array.from(
    { length: RUNNERS },
    (_, n) =>
      present(admins[n % 2]).client.rpc("review_emergency_access", {
        ...{ p_id, p_outcome: outcomes[n % 2], p_note: `Review ${n}` },
      }),
  ));
  const objections = await Promise.all(Array.from(
    { length: RUNNERS },
    (_, n) => patient.client.rpc("object_to_emergency_access", { p_id, p_note: `Objection ${n}` }),
  ));

  const winner = reviews.findIndex(({ error }) => error === null);
  const objector = objections.findIndex(({ error }) => error === null);
  const codes = (answers: typeof reviews) =>
    tally(answers.map((answer) => answer.error ? refusal(answer).join(" ") : "done"));
  assertEquals(codes(reviews), { done: 1, "409 already_reviewed": RUNNERS - 1 });
  assertEquals(codes(objections), { done: 1, "409 already_objected": RUNNERS - 1 });
  const chart = await must(
    patient.client.from("chart_sessions")
      .select("reviewed_by, review_outcome, review_note, objection").single(),
  );
  assertEquals(chart, {
    reviewed_by: present(admins[winner % 2]).id,
    review_outcome: outcomes[winner % 2],
    review_note: `Review ${winner}`,
    objection: `Objection ${objector}`,
  });
  const trail = tally((await auditOf(patient.id)).map(({ action }) => action));
  assertEquals([trail.review_emergency, trail.object_to_emergency], [1, 1]);
});

databaseTest("of many refusals at once twenty are listed, and the rest are counted", async () => {
  const many = 60;
  const [patient, stranger] = await Promise.all([newPatient(), newPerson()]);
  const p_id = await newRecord(patient, patient.id);

  const answers = await Promise.all(
    Array.from({ length: many }, () => stranger.client.rpc("delete_medical_record", { p_id })),
  );

  assertEquals(tally(answers.map((answer) => refusal(answer).join(" "))), {
    "404 not_found": many,
  });
  const trail = (await auditOf(patient.id)).filter(({ actor_id }) => actor_id === stranger.id);
  assertEquals(tally(trail.map(({ action }) => action)), { refuse_delete_record: 20 });
  const unlisted = await withDatabase((db) =>
    db`
      select refusals from private.unlisted_refusals
      where actor_id = ${stranger.id} and patient_id = ${patient.id}`
  );
  assertEquals(unlisted.map(({ refusals }) => refusals), [many - 20]);
  assertEquals((await patient.client.from("medical_records").select("deleted_at").single()).data, {
    deleted_at: null,
  });
});

databaseTest("a refused request tells nothing more than ever, and is in the log", async () => {
  const [patient, stranger, doctor] = [await newPatient(), await newPerson(), await newDoctor()];
  const record = await newRecord(patient, patient.id);
  const ask = async ({ client }: Person, path: string, body: object) =>
    comparable(
      await send(path, {
        method: "POST",
        token: await tokenOf(client),
        body: JSON.stringify(body),
      }),
    );
  const bundle = { resourceType: "Bundle", type: "collection", entry: [] };
  const answers = async (p_patient_id: string, p_record_id: string) => [
    await ask(stranger, "/rest/v1/rpc/open_medical_record", { p_record_id }),
    await ask(doctor, "/rest/v1/rpc/open_chart", { p_patient_id, p_purpose: "treatment" }),
    await ask(stranger, `/functions/v1/records/${p_record_id}/download-url`, {}),
    await ask(stranger, `/functions/v1/records/import?patient_id=${p_patient_id}`, bundle),
    await ask(stranger, "/rest/v1/rpc/share_medical_record", {
      ...{ p_record_id, p_shared_with_id: doctor.id, p_access_level: "view" },
      p_expires_at: new Date(Date.now() + 86_400_000).toISOString(),
    }),
    await ask(stranger, "/rest/v1/rpc/delete_medical_record", { p_id: p_record_id }),
    await ask(stranger, `/functions/v1/records/${p_record_id}/upload-url`, FILE),
    await ask(stranger, `/functions/v1/records/${p_record_id}/complete`, {
      ciphertext_sha256: "c".repeat(64),
    }),
  ];

  const theirs = await answers(patient.id, record);

  assertEquals(theirs, await answers(crypto.randomUUID(), crypto.randomUUID()));
  const words = " and was refused: had no right to it";
  assertEquals(await logOf(patient), [
    `Tried to read a record${words} /  / - / refused`,
    `Tried to open your chart${words} / To treat you / - / refused`,
    `Tried to download a file of a record${words} /  / - / refused`,
    `Tried to import records for you${words} /  / - / refused`,
    `Tried to share a record of yours${words} /  / - / refused`,
    `Tried to delete a record of yours${words} /  / - / refused`,
    `Tried to add a file to a record of yours${words} /  / - / refused`,
    `Tried to add a file to a record of yours${words} /  / - / refused`,
  ]);
});

databaseTest("a sign-in of staff is in the trail, a patient's is not", async () => {
  const [patient, doctor] = [await newPatient(), await newDoctor()];
  const signIns = async ({ id }: Person) =>
    await withDatabase((sql) =>
      sql`
        select a.actor_role,
          (a.ip_address, a.user_agent) is not distinct from (s.ip, left(s.user_agent, 200))
            and s.ip is not null as has_origin
        from public.audit_events as a join auth.sessions as s on s.id = a.session_id
        where a.actor_id = ${id} and a.action = 'sign_in' and a.resource_id = s.id`
    );
  await Promise.all([patient, doctor].map(signInAgain));
  assertEquals([...await signIns(doctor)], [
    { actor_role: "doctor", has_origin: true },
  ]);
  assertEquals((await signIns(patient)).length, 0);
});
