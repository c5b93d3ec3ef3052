// Whatever opens a patient's data can end, and bites on the next request: with the same token,
// which stays valid, what could be read a moment ago is as absent.

import { assert, assertEquals } from "@std/assert";
import { ownBundleText } from "../functions/bundles.ts";
import { type Person, signInAgain, tokenOf } from "../support/auth.ts";
import { assertUnchanged } from "../support/digest.ts";
import {
  databaseTest,
  must,
  newApplicant,
  newCaregiver,
  newDoctor,
  newPatient,
  openChart,
  raiseToAal2,
  startCare,
  theAdmin,
} from "../support/people.ts";
import { mustPost, newRecord, refusal, share } from "../support/records.ts";
import { refusalOf, send } from "../support/requests.ts";
import { until } from "../support/stack_process.ts";

const RECORDS = 24;

/** A patient with the history of the project's bundle, whose chart a doctor has open. */
async function newCase() {
  const [patient, doctor] = await Promise.all([newPatient(), newDoctor()]);
  await mustPost(patient.client, "import", await ownBundleText());
  const careId = await startCare(doctor, patient);
  const chartId = await openChart(doctor, patient);
  return { patient, doctor, careId, chartId };
}

type Case = Awaited<ReturnType<typeof newCase>>;

/** What a token gets of a patient: numbers of rows, and what opening a record leads to. */
async function reach(token: string, patientId: string, recordId: string) {
  const count = async (path: string) => {
    const { status, body } = await send(`/rest/v1/${path}`, { token });
    assertEquals(status, 200);
    return body.length;
  };
  const post = async (path: string, body: object) =>
    refusalOf(await send(path, { method: "POST", token, body: JSON.stringify(body) })).join(" ");
  return {
    records: await count(`medical_records?patient_id=eq.${patientId}`),
    contents: await count(`medical_record_contents?patient_id=eq.${patientId}`),
    registry: await count(`patients?id=eq.${patientId}`),
    opened: await post("/rest/v1/rpc/open_medical_record", { p_record_id: recordId }),
    download: await post(`/functions/v1/records/${recordId}/download-url`, {}),
  };
}

const NOTHING = { records: 0, contents: 0, registry: 0 };
const ABSENT = { ...NOTHING, opened: "404 not_found", download: "404 not_found" };
const SIGNED_OUT = { ...NOTHING, opened: "401 unauthenticated", download: "401 unauthenticated" };

async function anyRecord({ client }: Person): Promise<string> {
  const { id } = await must(client.from("medical_records").select("id").limit(1).single());
  return id;
}

/** Ways in which a doctor's open chart ends, and what its token gets from then on. */
const ENDS: [what: string, end: (scene: Case) => Promise<unknown>, after: typeof ABSENT][] = [
  [
    "the doctor closes it",
    ({ doctor, chartId }) => must(doctor.client.rpc("close_chart", { p_id: chartId })),
    ABSENT,
  ],
  [
    "the patient ends the care",
    ({ patient, careId }) => must(patient.client.rpc("end_care", { p_id: careId })),
    ABSENT,
  ],
  [
    "the doctor ends the care",
    ({ doctor, careId }) => must(doctor.client.rpc("end_care", { p_id: careId })),
    ABSENT,
  ],
  ["the doctor's account is locked", ({ doctor }) => setActive(doctor, false), SIGNED_OUT],
  ["the doctor signs out", ({ doctor }) => doctor.client.auth.signOut(), SIGNED_OUT],
  [
    "the doctor's verification is withdrawn",
    async ({ doctor }) => {
      const { client } = await theAdmin();
      await must(client.rpc("verify_doctor", {
        p_user_id: doctor.id,
        p_approve: false,
        p_reason: "The licence has lapsed",
      }));
    },
    ABSENT,
  ],
];

async function setActive({ id }: Person, active: boolean): Promise<void> {
  const { client } = await theAdmin();
  await must(client.rpc("set_account_active", {
    p_user_id: id,
    p_active: active,
    p_reason: "A report is looked into",
  }));
}

for (const [what, end, after] of ENDS) {
  databaseTest(`an open chart shows nothing any more once ${what}`, async () => {
    const scene = await newCase();
    const { patient, doctor } = scene;
    const [token, record] = [await tokenOf(doctor.client), await anyRecord(patient)];
    assertEquals(await reach(token, patient.id, record), {
      ...{ records: RECORDS, contents: RECORDS, registry: 1 },
      // It may be opened, and has no file.
      ...{ opened: "200 ", download: "404 not_found" },
    });

    await end(scene);

    assertEquals(await reach(token, patient.id, record), after);
    const again = await send("/rest/v1/rpc/open_chart", {
      method: "POST",
      token,
      body: JSON.stringify({ p_patient_id: patient.id, p_purpose: "treatment" }),
    });
    const mayReopen = what === "the doctor closes it";
    assertEquals(again.status === 200, mayReopen, JSON.stringify(again.body));
    // The patient's own view is as it was.
    const own = await reach(await tokenOf(patient.client), patient.id, record);
    assertEquals([own.records, own.contents, own.registry], [RECORDS, RECORDS, 1]);
  });
}

databaseTest(
  "a locked patient reads nothing of their own, and all of it when unlocked",
  async () => {
    const { patient } = await newCase();
    const [token, record] = [await tokenOf(patient.client), await anyRecord(patient)];
    const before = await reach(token, patient.id, record);
    assertEquals([before.records, before.opened], [RECORDS, "200 "]);

    await setActive(patient, false);
    assertEquals(await reach(token, patient.id, record), SIGNED_OUT);
    await setActive(patient, true);
    assertEquals(await reach(token, patient.id, record), before);
  },
);

databaseTest(
  "a chart opened with two factors is closed to the same doctor's one-factor session",
  async () => {
    const { patient, doctor } = await newCase();
    const record = await anyRecord(patient);
    const single = await signInAgain(doctor);
    assertEquals(await reach(await tokenOf(single), patient.id, record), ABSENT);
    const open = await single.rpc("open_chart", {
      p_patient_id: patient.id,
      p_purpose: "treatment",
    });
    assertEquals(refusal(open), [403, "mfa_required"]);
  },
);

databaseTest(
  "open_chart refuses whoever lacks one of its conditions, and opens with all",
  async () => {
    const patient = await newPatient();
    const [applicant, doctor, stranger] = await Promise.all([
      newApplicant(),
      newDoctor("Dr Meera Iyer", "aal1"),
      newDoctor("Dr Nobody"),
    ]);
    const open = async ({ client }: Person) =>
      refusal(
        await client.rpc("open_chart", { p_patient_id: patient.id, p_purpose: "treatment" }),
      );
    const careId = await startCare(doctor, patient);

    await assertUnchanged([patient.id], async () => {
      assertEquals(await open(applicant), [403, "not_verified"]);
      assertEquals(await open(await newPatient()), [403, "not_verified"]);
      assertEquals(await open(stranger), [404, "not_found"]);
      assertEquals(await open(doctor), [403, "mfa_required"]);
    });
    await raiseToAal2(doctor.client);
    const opened = await openChart(doctor, patient);
    assert(opened);
    await must(patient.client.rpc("end_care", { p_id: careId }));
    assertEquals(await open(doctor), [404, "not_found"]);
  },
);

databaseTest("a share is worth nothing from the moment it expires", async () => {
  const [patient, relative] = [await newPatient(), await newCaregiver()];
  const { client } = relative;
  // The API takes any end in the future: seconds are the least that can be seen to pass.
  for (let seconds = 2;; seconds *= 2) {
    const record = await newRecord(patient, patient.id);
    const expires = Date.now() + seconds * 1000;
    await share(patient, record, relative, { until: new Date(expires).toISOString() });
    const open = () => client.rpc("open_medical_record", { p_record_id: record });
    const list = () => client.from("medical_records").select("id").eq("id", record);
    const [opened, listed] = [await open(), await must(list())];
    // On a machine that is busy it may have passed meanwhile.
    if (Date.now() >= expires && seconds < 30) continue;
    assertEquals([opened.status, listed.length], [200, 1]);

    await until(async () => (await open()).status !== 200);
    assert(Date.now() >= expires - 1000, "it has not ended before its time");
    assertEquals(refusal(await open()), [404, "not_found"]);
    assertEquals(await must(list()), []);
    assertEquals(await must(client.from("medical_record_shares").select("id")), []);
    const seen = await must(patient.client.rpc("who_can_see", { p_patient_id: patient.id }));
    assertEquals(seen, []);
    // The time is free again for another share of the same record.
    await share(patient, record, relative);
    assertEquals((await open()).status, 200);
    return;
  }
});

databaseTest(
  "a share ends at once when the patient revokes it or its recipient gives it up",
  async () => {
    const [patient, relative] = [await newPatient(), await newCaregiver()];
    const record = await newRecord(patient, patient.id);
    const token = await tokenOf(relative.client);
    const SHARED = {
      ...{ records: 1, contents: 0, registry: 0 },
      ...{ opened: "200 ", download: "403 forbidden" },
    };
    for (const ender of [patient, relative]) {
      const p_id = await share(patient, record, relative);
      assertEquals(await reach(token, patient.id, record), SHARED);
      await must(ender.client.rpc("revoke_record_share", { p_id }));
      assertEquals(await reach(token, patient.id, record), ABSENT);
    }
  },
);

databaseTest("a share shows contents once they are opened by it, and logged", async () => {
  const [patient, relative] = [await newPatient(), await newCaregiver()];
  const record = await newRecord(patient, patient.id);
  await must(
    patient.client.from("medical_record_contents").insert({
      record_id: record,
      metadata: { note: "Two planes" },
    }),
  );
  const read = () => must(relative.client.from("medical_record_contents").select("metadata"));
  const open = () => relative.client.rpc("open_medical_record", { p_record_id: record });
  const timesLogged = async () =>
    (await must(patient.client.rpc("my_access_log"))).filter(({ summary }: { summary: string }) =>
      summary === "Read a record"
    ).length;

  const p_id = await share(patient, record, relative);
  assertEquals([await read(), await timesLogged()], [[], 0]);
  await must(open());
  assertEquals([await read(), await timesLogged()], [[{ metadata: { note: "Two planes" } }], 1]);

  // A request that fails on the way out is no opening, and must not carry what it would have read.
  await must(patient.client.rpc("revoke_record_share", { p_id }));
  await share(patient, record, relative);
  for (const select of ["title::integer", "metadata::integer"]) {
    const failed = await send(`/rest/v1/rpc/open_medical_record?select=${select}`, {
      method: "POST",
      token: await tokenOf(relative.client),
      body: JSON.stringify({ p_record_id: record }),
    });
    assertEquals(failed.status >= 400, true, select);
    assertEquals(JSON.stringify(failed.body).includes("Two planes"), false, select);
  }
  assertEquals([await read(), await timesLogged()], [[], 1]);
  await must(open());
  assertEquals([await read(), await timesLogged()], [[{ metadata: { note: "Two planes" } }], 2]);
  // Opening is the recipient's own: nobody else reads by it.
  const other = await newCaregiver();
  await share(patient, record, other);
  assertEquals(await must(other.client.from("medical_record_contents").select()), []);
});

databaseTest(
  "a record that the patient deletes is gone for everybody else, until restored",
  async () => {
    const { patient, doctor } = await newCase();
    const relative = await newCaregiver();
    const record = await anyRecord(patient);
    await share(patient, record, relative);
    const views = async () => {
      const [mine, charted, shared] = await Promise.all(
        [patient, doctor, relative].map(async ({ client }) =>
          await reach(await tokenOf(client), patient.id, record)
        ),
      );
      return [
        [mine?.records, mine?.opened],
        [charted?.records, charted?.contents, charted?.opened],
        [shared?.records, shared?.opened],
      ];
    };
    const before = await views();
    assertEquals(before, [[RECORDS, "200 "], [RECORDS, RECORDS, "200 "], [1, "200 "]]);
    await must(patient.client.rpc("delete_medical_record", { p_id: record }));
    assertEquals(await views(), [
      [RECORDS, "200 "],
      [RECORDS - 1, RECORDS - 1, "404 not_found"],
      [0, "404 not_found"],
    ]);
    await must(patient.client.rpc("restore_medical_record", { p_id: record }));
    assertEquals(await views(), before);
  },
);

databaseTest(
  "a caregiver sees the scopes that the patient gives, from the next request on",
  async () => {
    const [patient, caregiver] = [await newPatient(), await newCaregiver()];
    const plain = await newRecord(patient, patient.id);
    const hidden = await newRecord(patient, patient.id, { sensitivity: "sensitive" });
    const careId = await must(caregiver.client.rpc("request_care", {
      p_member_or_patient_id: patient.id,
      p_kind: "caregiver",
      p_scopes: ["records", "sensitive"],
    }));
    const seen = async () => {
      const rows = await must(
        caregiver.client.from("medical_records").select("id").eq("patient_id", patient.id),
      );
      return new Set(rows.map(({ id }) => id));
    };
    const give = (...p_scopes: string[]) =>
      must(patient.client.rpc("set_care_scopes", { p_id: careId, p_scopes }));
    const open = () =>
      caregiver.client.rpc("open_chart", { p_patient_id: patient.id, p_purpose: "delegated" });

    assertEquals(refusal(await open()), [404, "not_found"]);
    // The patient gives less than was asked for.
    await must(patient.client.rpc("respond_care_request", {
      p_id: careId,
      p_accept: true,
      p_scopes: ["appointments"],
    }));
    await must(open());
    assertEquals(await seen(), new Set());
    await give("records");
    assertEquals(await seen(), new Set([plain]));
    const secret = await caregiver.client.rpc("open_medical_record", { p_record_id: hidden });
    assertEquals(refusal(secret), [404, "not_found"]);
    await give("records", "sensitive");
    assertEquals(await seen(), new Set([plain, hidden]));
    await give("sensitive");
    assertEquals(await seen(), new Set());
  },
);
