// The same thing at once, many times: of answers that exclude each other exactly one counts, and
// the rows say which.

import { assert, assertEquals } from "@std/assert";
import { sampleFile } from "../fixtures/files.ts";
import { asUpload, seal } from "../support/sealed.ts";
import { ownBundleText } from "../functions/bundles.ts";
import { type Person, signInAgain } from "../support/auth.ts";
import { auditOf } from "../support/digest.ts";
import {
  databaseTest,
  must,
  newCaregiver,
  newDoctor,
  newPatient,
  openChart,
  startCare,
} from "../support/people.ts";
import { BUCKET, inDays, mustPost, newRecord, postRecords, refusal } from "../support/records.ts";
import { refusalOf } from "../support/requests.ts";

/** Outcomes with the number of times that each came, for example `{ "200": 1, "409 …": 9 }`. */
function tally(outcomes: [status: number, code?: string | undefined][]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [status, code] of outcomes) {
    const key = code === undefined ? String(status) : `${status} ${code}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

const TIMES = 10;
const times = <T>(work: (index: number) => PromiseLike<T>) =>
  Promise.all(Array.from({ length: TIMES }, (_, index) => work(index)));

databaseTest("of several answers to one care request at once the first counts", async () => {
  const [patient, doctor] = await Promise.all([newPatient(), newDoctor()]);
  const second = await signInAgain(patient);
  const p_id = await must(doctor.client.rpc("request_care", {
    ...{ p_member_or_patient_id: patient.id, p_kind: "doctor" },
  }));
  // Both sessions of the patient, accepting and declining.
  const answers = await times(async (index) => {
    const client = index % 2 ? patient.client : second;
    const p_accept = index % 3 === 0;
    const { status, error } = await client.rpc("respond_care_request", { p_id, p_accept });
    return { p_accept, outcome: error ? refusal({ status, error }) : [status] as [number] };
  });

  assertEquals(tally(answers.map(({ outcome }) => outcome)), {
    ...{ "200": 1, "409 already_answered": TIMES - 1 },
  });
  const winner = answers.find(({ outcome }) => outcome[0] === 200);
  const [care] = await must(patient.client.from("care_relationships").select("status"));
  assertEquals(care?.status, winner?.p_accept ? "active" : "declined");
  const trail = (await auditOf(patient.id)).filter(({ resource_type, action }) =>
    resource_type === "care_relationship" && action === "update"
  );
  assertEquals(trail.length, 1);
});

databaseTest("of several equal shares at once one is made", async () => {
  const [patient, relative] = await Promise.all([newPatient(), newCaregiver()]);
  const p_record_id = await newRecord(patient, patient.id);
  const outcomes = await times(async () => {
    const { status, error } = await patient.client.rpc("share_medical_record", {
      ...{ p_record_id, p_shared_with_id: relative.id, p_access_level: "view" },
      ...{ p_expires_at: inDays(7) },
    });
    return error ? refusal({ status, error }) : [status] as [number];
  });
  assertEquals(tally(outcomes), { "200": 1, "409 already_shared": TIMES - 1 });
  const shares = await must(patient.client.from("medical_record_shares").select("id"));
  assertEquals(shares.length, 1);
});

databaseTest(
  "of several equal requests for care at once, from both sides, one is made",
  async () => {
    const [patient, doctor] = await Promise.all([newPatient(), newDoctor()]);
    const ask = ({ client }: Person, { id }: Person) =>
      client.rpc("request_care", { p_member_or_patient_id: id, p_kind: "doctor" });
    const outcomes = await times(async (index) => {
      const { status, error } = await (index % 2 ? ask(doctor, patient) : ask(patient, doctor));
      return error ? refusal({ status, error }) : [status] as [number];
    });
    assertEquals(tally(outcomes), { "200": 1, "409 already_requested": TIMES - 1 });
    const care = await must(patient.client.from("care_relationships").select("id"));
    assertEquals(care.length, 1);
  },
);

databaseTest("several imports of one bundle at once make each record once", async () => {
  const patient = await newPatient();
  const text = await ownBundleText();
  const results = await Promise.all(
    Array.from({ length: 5 }, () => mustPost(patient.client, "import", text)),
  );
  const sum = (key: string) => results.reduce((total, result) => total + result[key], 0);
  assertEquals([sum("imported"), sum("updated"), sum("unchanged")], [24, 0, 4 * 24]);
  assertEquals(results.filter(({ patient }) => patient === "filled").length, 1);
  const { count } = await patient.client.from("medical_records")
    .select("*", { count: "exact", head: true });
  assertEquals(count, 24);
});

databaseTest("several files announced for one record at once: one becomes its file", async () => {
  const patient = await newPatient();
  const record = await newRecord(patient, patient.id);
  const { announced, bytes } = await sampleFile("application/pdf");
  const files = patient.client.storage.from(BUCKET);
  const uploads = await times(async () => {
    const { path, token, upload_id, encryption } = await mustPost(
      patient.client,
      `${record}/upload-url`,
      announced,
    );
    const sealed = await seal(bytes, encryption, record);
    await must(files.uploadToSignedUrl(path, token, asUpload(sealed)));
    return { path, key: encryption.key, done: { ...sealed.done, upload_id } };
  });
  assertEquals(new Set(uploads.map(({ path }) => path)).size, TIMES);
  assertEquals(new Set(uploads.map(({ key }) => key)).size, TIMES);
  const complete = (done: object) => postRecords(patient.client, `${record}/complete`, done);
  const outcomes = await Promise.all(uploads.map(({ done }) => complete(done)));
  const [taken, ...more] = outcomes.filter(({ status }) => status === 200);
  assertEquals([taken?.body.data, more], [{ record_id: record, ...announced }, []]);
  for (const refused of outcomes.filter((outcome) => outcome !== taken)) {
    assertEquals(refusalOf(refused), [409, "already_uploaded"]);
  }
  const trail = (await auditOf(patient.id)).filter(({ action }) => action === "upload_file");
  assertEquals(trail.length, 1);
  const late = await postRecords(patient.client, `${record}/upload-url`, announced);
  assertEquals(refusalOf(late), [409, "already_uploaded"]);
});

databaseTest("ending the care while the chart opens leaves no chart open", async () => {
  const [patient, doctor] = await Promise.all([newPatient(), newDoctor()]);
  await newRecord(patient, patient.id);
  const p_id = await startCare(doctor, patient);
  const open = () =>
    doctor.client.rpc("open_chart", { p_patient_id: patient.id, p_purpose: "treatment" });
  await openChart(doctor, patient);
  const [ended, ...opened] = await Promise.all([
    patient.client.rpc("end_care", { p_id }),
    ...Array.from({ length: TIMES }, open),
  ]);
  assertEquals(ended?.error, null);
  // Each opening came either before the end, which closed it, or after, which refused it.
  for (const answer of opened) {
    assert(answer.status === 200 || refusal(answer)[1] === "not_found");
  }
  const charts = await must(
    patient.client.from("chart_sessions").select("id").is("closed_at", null),
  );
  assertEquals(charts, []);
  assertEquals(await must(doctor.client.from("medical_records").select("id")), []);
});
