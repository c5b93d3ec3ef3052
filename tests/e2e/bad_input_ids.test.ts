// Ids of other people's rows: whoever tries them learns no more than from ids that nobody has.
// Whole answers are compared, apart from the request id and the time of day in them.

import { assert, assertEquals } from "@std/assert";
import { sampleFile } from "../fixtures/files.ts";
import { bundleOf, condition } from "../functions/bundles.ts";
import { type Person, tokenOf } from "../support/auth.ts";
import { assertUnchanged } from "../support/digest.ts";
import {
  databaseTest,
  must,
  newCaregiver,
  newDoctor,
  newPatient,
  openChart,
  startCare,
} from "../support/people.ts";
import { inDays, newRecord, refusal, share, upload } from "../support/records.ts";
import { comparable, type RawRequest, refusalOf, send } from "../support/requests.ts";

/** A patient with a row of every kind, and the ids of the rows. */
async function newVictim() {
  const [patient, doctor, relative] = await Promise.all([
    newPatient("Victim"),
    newDoctor(),
    newCaregiver(),
  ]);
  const record = await newRecord(patient, patient.id, { title: "SECRET" });
  await upload(patient, record, await sampleFile("text/plain"));
  const announced = await newRecord(patient, patient.id);
  const care = await startCare(doctor, patient);
  const chart = await openChart(doctor, patient);
  const request = await must(relative.client.rpc("request_care", {
    ...{ p_member_or_patient_id: patient.id, p_kind: "caregiver", p_scopes: ["records"] },
  }));
  const shareId = await share(patient, record, relative, { level: "download" });
  return { patient, record, announced, care, chart, request, shareId };
}

type Victim = Awaited<ReturnType<typeof newVictim>>;

/** An id of the victim's, and a request with an id in its place. */
type Probe = [what: string, id: keyof Omit<Victim, "patient"> | "patient", (id: string) => Probed];
type Probed = { path: string } & RawRequest;

const post = (path: string, body: unknown): Probed => ({
  path,
  method: "POST",
  body: JSON.stringify(body),
});
const rpc = (name: string, args: unknown) => post(`/rest/v1/rpc/${name}`, args);
const { announced: file } = await sampleFile("image/png");
const done = { ciphertext_sha256: file.file_sha256 };

const PROBES: Probe[] = [
  ["open a record", "record", (p_record_id) => rpc("open_medical_record", { p_record_id })],
  ["delete a record", "record", (p_id) => rpc("delete_medical_record", { p_id })],
  ["restore a record", "record", (p_id) => rpc("restore_medical_record", { p_id })],
  ["share a record", "record", (p_record_id) =>
    rpc("share_medical_record", {
      ...{ p_record_id, p_shared_with_id: crypto.randomUUID(), p_access_level: "view" },
      ...{ p_expires_at: inDays(1) },
    })],
  ["revoke a share", "shareId", (p_id) => rpc("revoke_record_share", { p_id })],
  ["answer a request", "request", (p_id) => rpc("respond_care_request", { p_id, p_accept: true })],
  ["widen a care", "request", (p_id) => rpc("set_care_scopes", { p_id, p_scopes: ["records"] })],
  ["end a care", "care", (p_id) => rpc("end_care", { p_id })],
  ["close a chart", "chart", (p_id) => rpc("close_chart", { p_id })],
  [
    "open a chart",
    "patient",
    (p_patient_id) => rpc("open_chart", { p_patient_id, p_purpose: "treatment" }),
  ],
  [
    "open a chart as caregiver",
    "patient",
    (p_patient_id) => rpc("open_chart", { p_patient_id, p_purpose: "delegated" }),
  ],
  ["ask who can see", "patient", (p_patient_id) => rpc("who_can_see", { p_patient_id })],
  [
    "ask why one can see",
    "patient",
    (p_patient_id) => rpc("why_can_see", { p_viewer_id: p_patient_id, p_patient_id }),
  ],
  [
    "verify as doctor",
    "patient",
    (p_user_id) => rpc("verify_doctor", { p_user_id, p_approve: true }),
  ],
  ["announce a file", "announced", (id) => post(`/functions/v1/records/${id}/upload-url`, file)],
  ["complete a file", "announced", (id) => post(`/functions/v1/records/${id}/complete`, done)],
  [
    "complete a file that is there",
    "record",
    (id) => post(`/functions/v1/records/${id}/complete`, done),
  ],
  ["describe a record", "record", (id) => ({
    ...post(`/functions/v1/records/${id}/description`, { description: "x" }),
    method: "PUT",
  })],
  [
    "read a description",
    "record",
    (id) => post("/functions/v1/records/descriptions/read", { record_ids: [id] }),
  ],
  [
    "read contact fields",
    "patient",
    (id) => post("/functions/v1/identity/patients/read", { patient_ids: [id] }),
  ],
  ["download a file", "record", (id) => post(`/functions/v1/records/${id}/download-url`, {})],
  [
    "erase a file",
    "record",
    (id) => ({ path: `/functions/v1/records/${id}/file`, method: "DELETE" }),
  ],
  [
    "import for a patient",
    "patient",
    (id) => post(`/functions/v1/records/import?patient_id=${id}`, bundleOf(condition())),
  ],
  [
    "add to a record",
    "record",
    (record_id) => post("/rest/v1/medical_record_contents", { record_id, metadata: {} }),
  ],
  [
    "add a record",
    "patient",
    (patient_id) =>
      post("/rest/v1/medical_records", { patient_id, title: "x", record_type: "other" }),
  ],
  ...["medical_records", "medical_record_shares", "care_relationships", "chart_sessions"].map((
    table,
    place,
  ): Probe => {
    const id = (["record", "shareId", "care", "chart"] as const)[place] ?? "record";
    return [`select from ${table}`, id, (id) => ({ path: `/rest/v1/${table}?id=eq.${id}` })];
  }),
  ["select contents", "record", (id) => ({
    path: `/rest/v1/medical_record_contents?record_id=eq.${id}`,
  })],
  ["select a patient", "patient", (id) => ({ path: `/rest/v1/patients?id=eq.${id}` })],
  ["select a profile", "patient", (id) => ({ path: `/rest/v1/profiles?id=eq.${id}` })],
  ["select a public face", "patient", (id) => ({ path: `/rest/v1/public_profiles?id=eq.${id}` })],
  ["select exactly one", "record", (id) => ({
    path: `/rest/v1/medical_records?id=eq.${id}`,
    headers: { accept: "application/vnd.pgrst.object+json" },
  })],
  ["change a record", "record", (id) => ({
    path: `/rest/v1/medical_records?id=eq.${id}`,
    method: "PATCH",
    body: '{"title": "x"}',
    headers: { prefer: "return=representation" },
  })],
];

/** Whether a probe answers about rows: then it answers none, and nothing is amiss. */
const answersRows = (what: string) => /^(select (?!exactly)|change|read)/.test(what);

async function assertNothingLearnt({ client }: Person, victim: Victim, codes: [number, string][]) {
  const token = await tokenOf(client);
  for (const [what, kind, request] of PROBES) {
    const known = kind === "patient" ? victim.patient.id : victim[kind];
    const ask = async (id: string) => {
      const { path, ...init } = request(id);
      return await send(path, { ...init, token });
    };
    const [real, absent] = [await ask(known), await ask(crypto.randomUUID())];
    const [mine, theirs] = [comparable(real), comparable(absent)];
    assertEquals(
      JSON.parse(JSON.stringify(mine).replaceAll(known, "(id)")),
      JSON.parse(JSON.stringify(theirs).replaceAll(/[0-9a-f-]{36}/g, "(id)")),
      what,
    );
    assertEquals([...real.headers.keys()], [...absent.headers.keys()], what);
    assertEquals(JSON.stringify(real.body).includes("SECRET"), false, what);
    if (answersRows(what)) {
      assertEquals([real.status, real.body.data ?? real.body], [200, []], what);
    } else {
      const [status, code] = refusalOf(real);
      assert(codes.some((one) => one[0] === status && one[1] === code), `${what}: ${code}`);
    }
  }
}

/** What ids that are not there lead to. */
const ABSENT: [number, string][] = [
  [404, "not_found"],
  [406, "PGRST116"], // exactly one row was asked for
  [403, "42501"], // the policies refuse a row for anybody else
  [403, "forbidden"], // for administrators, whoever is asked about
];

databaseTest("a patient learns nothing from the ids of another patient's rows", async () => {
  const victim = await newVictim();
  const stranger = await newPatient();
  await assertUnchanged([victim.patient.id], async () => {
    // Whoever is no doctor is told so first.
    const codes: [number, string][] = [...ABSENT, [403, "not_verified"]];
    await assertNothingLearnt(stranger, victim, codes);
  });
});

databaseTest(
  "a verified doctor without care learns nothing from the ids of a patient's rows",
  async () => {
    const victim = await newVictim();
    const doctor = await newDoctor("Dr Nobody");
    await assertUnchanged([victim.patient.id], () => assertNothingLearnt(doctor, victim, ABSENT));
  },
);

databaseTest(
  "a doctor in care whose chart is not open learns nothing from the ids of records",
  async () => {
    const victim = await newVictim();
    const doctor = await newDoctor("Dr Waiting");
    const care = await startCare(doctor, victim.patient);
    const { client } = doctor;
    await assertUnchanged([victim.patient.id], async () => {
      for (const p_record_id of [victim.record, crypto.randomUUID()]) {
        const opened = await client.rpc("open_medical_record", { p_record_id });
        assertEquals(refusal(opened), [404, "not_found"]);
      }
      assertEquals(await must(client.from("medical_records").select("id")), []);
    });
    assertEquals(await must(client.from("care_relationships").select("id")), [{ id: care }]);
  },
);

databaseTest("nobody answers their own request, nor ends what is others'", async () => {
  const [patient, doctor, other] = await Promise.all([
    newPatient(),
    newDoctor(),
    newDoctor("Dr Other"),
  ]);
  const p_id = await must(doctor.client.rpc("request_care", {
    ...{ p_member_or_patient_id: patient.id, p_kind: "doctor" },
  }));
  await assertUnchanged([patient.id], async () => {
    for (const { client } of [doctor, other]) {
      const answered = await client.rpc("respond_care_request", { p_id, p_accept: true });
      assertEquals(refusal(answered), [404, "not_found"]);
    }
    assertEquals(refusal(await other.client.rpc("end_care", { p_id })), [404, "not_found"]);
  });
  await must(patient.client.rpc("respond_care_request", { p_id, p_accept: true }));
});
