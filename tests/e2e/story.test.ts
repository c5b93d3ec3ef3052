// The story from sign-up to a doctor's open chart, told with the unmodified client on every bundle
// that the machine has: the project's own, and Synthea's where they are.

import { assert, assertEquals } from "@std/assert";
import { sampleFile } from "../fixtures/files.ts";
import { type Fhir, ownBundleText, syntheaBundles } from "../functions/bundles.ts";
import type { Person } from "../support/auth.ts";
import { assertUnchanged, auditOf } from "../support/digest.ts";
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
import {
  BUCKET,
  mustPost,
  newRecord,
  postRecords,
  refusal,
  share,
  upload,
} from "../support/records.ts";
import { refusalOf } from "../support/requests.ts";

/** Types of which records are made. */
const CLINICAL = new Set([
  "AllergyIntolerance",
  "CarePlan",
  "Condition",
  "DiagnosticReport",
  "DocumentReference",
  "Encounter",
  "Immunization",
  "MedicationRequest",
  "MedicationStatement",
  "Observation",
  "Procedure",
]);

/** What an import of a flawless bundle must count, worked out from the bundle. */
function expectedCounts(bundle: Fhir) {
  const by_type: Record<string, number> = {};
  const skipped: Record<string, number> = {};
  for (const { resource: { resourceType: type } } of bundle.entry) {
    if (type === "Patient") continue;
    const counts = CLINICAL.has(type) ? by_type : skipped;
    counts[type] = (counts[type] ?? 0) + 1;
  }
  const total = Object.values(by_type).reduce((sum, count) => sum + count, 0);
  return { total, by_type, skipped };
}

/** The bundle's entry with its first resource of a type. */
function resourceOf(bundle: Fhir, type: string): Fhir {
  return bundle.entry.map(({ resource }: Fhir) => resource)
    .find(({ resourceType }: Fhir) => resourceType === type);
}

/** Numbers of rows that somebody sees of a patient. */
async function seenBy({ client }: Person, patientId: string) {
  const [records, contents, registry] = await Promise.all([
    must(client.from("medical_records").select("id").eq("patient_id", patientId)),
    must(client.from("medical_record_contents").select("record_id").eq("patient_id", patientId)),
    must(client.from("patients").select("id").eq("id", patientId)),
  ]);
  return [records.length, contents.length, registry.length];
}

const bundles = [
  { name: "the project's bundle", text: await ownBundleText() },
  ...syntheaBundles(),
];

for (const { name, text } of bundles) {
  databaseTest(`the story from sign-up to the open chart holds with ${name}`, async (t) => {
    const bundle: Fhir = JSON.parse(text);
    const { total, by_type, skipped } = expectedCounts(bundle);
    assert(total > 20);
    const patient = await newPatient("Ananya");
    const [relative, doctor, stranger] = await Promise.all([
      newCaregiver("Vikram"),
      newApplicant("Dr Meera Iyer"),
      newPatient("Somebody else"),
    ]);
    const { client } = patient;
    const importIt = (what: unknown) => postRecords(client, "import", what);
    const [{ family }] = resourceOf(bundle, "Patient").name;
    const searchedBy = async ({ client }: Person) => {
      const found = await must(client.rpc("search_patients", { p_query: family }));
      return found.map(({ id }: Fhir) => id);
    };
    let shared = "";
    const step = async (what: string, act: () => Promise<void>) => {
      if (!await t.step(what, act)) throw new Error("The story ends here");
    };

    await step("a sign-up makes a profile and an empty registry row", async () => {
      const profiles = await must(client.from("profiles").select("role, is_verified"));
      assertEquals(profiles, [{ role: "patient", is_verified: false }]);
      const registry = await must(client.from("patients").select("id, first_name, created_by"));
      assertEquals(registry, [{ id: patient.id, first_name: null, created_by: patient.id }]);
      assertEquals(await seenBy(relative, relative.id), [0, 0, 0]);
    });

    await step("an import makes a record of each clinical resource and counts", async () => {
      const { status, body } = await importIt(text);
      assertEquals(status, 200);
      const { source_system: _, ...data } = body.data;
      assertEquals(data, {
        ...{ patient_id: patient.id, imported: total, updated: 0, unchanged: 0, kept: 0 },
        ...{ by_type, skipped, patient: "filled", error_count: 0, errors: [] },
      });
      assertEquals(await seenBy(patient, patient.id), [total, total, 1]);
      const { birthDate } = resourceOf(bundle, "Patient");
      const [registry] = await must(
        client.from("patients").select("last_name, date_of_birth"),
      );
      assertEquals(registry, { last_name: family, date_of_birth: birthDate });
    });

    await step("a record keeps title, type, date and the resource as it came", async () => {
      const condition = resourceOf(bundle, "Condition");
      const [record] = await must(
        client.from("medical_records")
          .select("title, record_type, record_date, source, medical_record_contents(fhir)")
          .eq("source_id", `Condition/${condition.id}`),
      );
      assertEquals(record, {
        title: condition.code.text,
        record_type: "condition",
        record_date: condition.onsetDateTime.slice(0, 10),
        source: "fhir",
        // deno-lint-ignore no-explicit-any -- the client cannot tell one row from many
        medical_record_contents: { fhir: condition } as any,
      });
    });

    await step("the same bundle again adds and changes nothing", async () => {
      await assertUnchanged([patient.id], async () => {
        const { imported, updated, unchanged, patient: registry } =
          (await importIt(text)).body.data;
        assertEquals([imported, updated, unchanged], [0, 0, total]);
        assertEquals(registry, "unchanged");
      });
    });

    await step("a changed resource updates its record and no other", async () => {
      const changed: Fhir = structuredClone(bundle);
      const condition = resourceOf(changed, "Condition");
      condition.code.text = "A diagnosis that was corrected";
      const { imported, updated, unchanged } = (await importIt(changed)).body.data;
      assertEquals([imported, updated, unchanged], [0, 1, total - 1]);
      const [record] = await must(
        client.from("medical_records").select("title")
          .eq("source_id", `Condition/${condition.id}`),
      );
      assertEquals(record?.title, condition.code.text);
    });

    await step("a bundle of somebody else is refused whole", async () => {
      const foreign: Fhir = structuredClone(bundle);
      resourceOf(foreign, "Patient").birthDate = "1991-03-07";
      for (const { resource } of foreign.entry) {
        if (CLINICAL.has(resource.resourceType)) resource.id = crypto.randomUUID();
      }
      await assertUnchanged([patient.id], async () => {
        assertEquals(refusalOf(await importIt(foreign)), [422, "wrong_patient"]);
      });
    });

    await step("a scan goes up through a signed address and is taken over", async () => {
      const record = await newRecord(patient, patient.id, { title: "CT of the chest" });
      const sample = await sampleFile("application/dicom");
      const { status, body } = await upload(patient, record, sample);
      assertEquals([status, body.data], [200, { record_id: record, ...sample.announced }]);
      shared = record;
    });

    await step("a share for a week shows one record, and what it says when opened", async () => {
      await share(patient, shared, relative, { level: "download" });
      const listed = await must(
        relative.client.from("medical_records").select("title, record_type, record_date"),
      );
      assertEquals(listed, [{
        title: "CT of the chest",
        record_type: "imaging",
        record_date: null,
      }]);
      assertEquals(await seenBy(relative, patient.id), [1, 0, 0]);
      const read = () =>
        must(
          relative.client.from("medical_record_contents").select("description")
            .eq("record_id", shared),
        );
      await must(
        client.from("medical_record_contents").update({ description: "Chest, two planes" })
          .eq("record_id", shared),
      );
      assertEquals(await read(), []);
      const [opened] = await must(
        relative.client.rpc("open_medical_record", { p_record_id: shared }),
      );
      assertEquals([opened.id, opened.may_download], [shared, true]);
      assertEquals(await read(), [{ description: "Chest, two planes" }]);
      const { url } = await mustPost(relative.client, `${shared}/download-url`);
      const { bytes } = await sampleFile("application/dicom");
      assertEquals(await (await fetch(url)).bytes(), bytes);
    });

    await step("a doctor is verified by an administrator with a second factor", async () => {
      const early = await doctor.client.rpc("open_chart", {
        p_patient_id: patient.id,
        p_purpose: "treatment",
      });
      assertEquals(refusal(early), [403, "not_verified"]);
      const { client: admin } = await theAdmin();
      await must(admin.rpc("verify_doctor", { p_user_id: doctor.id, p_approve: true }));
      const [profile] = await must(doctor.client.from("profiles").select("role, is_verified"));
      assertEquals(profile, { role: "doctor", is_verified: true });
    });

    await step("the doctor asks, the patient accepts, the chart opens and reads", async () => {
      const p_purpose = "treatment";
      const open = () => doctor.client.rpc("open_chart", { p_patient_id: patient.id, p_purpose });
      const care = await must(doctor.client.rpc("request_care", {
        p_member_or_patient_id: patient.id,
        p_kind: "doctor",
      }));
      await raiseToAal2(doctor.client);
      assertEquals(refusal(await open()), [404, "not_found"]);
      const [request] = await must(client.from("care_relationships").select("id, status"));
      assertEquals(request, { id: care, status: "requested" });
      await must(client.rpc("respond_care_request", { p_id: care, p_accept: true }));
      assertEquals(await seenBy(doctor, patient.id), [0, 0, 0]);
      const [chart] = await must(open());
      const minutes = (Date.parse(chart.expires_at) - Date.now()) / 60_000;
      assert(minutes > 58 && minutes < 62, `the chart is open for ${minutes} minutes`);
      assertEquals(await seenBy(doctor, patient.id), [total + 1, total + 1, 1]);
      assertEquals(await searchedBy(doctor), [patient.id]);
    });

    await step("a stranger sees nothing of it", async () => {
      assertEquals(await seenBy(stranger, patient.id), [0, 0, 0]);
      assertEquals(await searchedBy(stranger), []);
      const opened = await stranger.client.rpc("open_medical_record", { p_record_id: shared });
      assertEquals(refusal(opened), [404, "not_found"]);
      const contents = await must(
        stranger.client.from("medical_record_contents").select().eq("record_id", shared),
      );
      assertEquals(contents, []);
      const download = await postRecords(stranger.client, `${shared}/download-url`);
      assertEquals(refusalOf(download), [404, "not_found"]);
      const direct = await stranger.client.storage.from(BUCKET).list(`${patient.id}/${shared}`);
      assertEquals(direct.data, []);
    });

    await step("the patient reads who looked at what, why, and who may", async () => {
      const log = await must(client.rpc("my_access_log", { p_limit: 100 }));
      const told = log.map(({ actor_name, actor_role, purpose, summary, resource_id }: Fhir) =>
        [actor_name, actor_role, purpose, summary, resource_id === shared] as const
      );
      assertEquals(told.toReversed(), [
        ["Vikram", "caregiver", "share", "Read a record", true],
        ["Vikram", "caregiver", "share", "Downloaded a file of a record", true],
        ["Dr Meera Iyer", "doctor", null, "Created a care relationship with you", false],
        ["Dr Meera Iyer", "doctor", "treatment", "Opened your chart", false],
      ]);
      const may = await must(client.rpc("who_can_see", { p_patient_id: patient.id }));
      assertEquals(may.map(({ viewer_name, rule }: Fhir) => [viewer_name, rule]), [
        ["Dr Meera Iyer", "open_chart"],
        ["Dr Meera Iyer", "care_doctor"],
        ["Vikram", "share"],
      ]);
      const actions = new Set((await auditOf(patient.id)).map(({ action }) => action));
      assert(actions.has("upload_file"), "the patient's own deeds are in the trail");
    });
  });
}

databaseTest("a doctor imports a bundle into an open chart, and into no other", async () => {
  const [patient, other] = [await newPatient(), await newPatient()];
  const doctor = await newDoctor();
  await startCare(doctor, patient);
  await startCare(doctor, other);
  const text = await ownBundleText();
  const importFor = ({ id }: Person) => postRecords(doctor.client, `import?patient_id=${id}`, text);

  await assertUnchanged([patient.id], async () => {
    assertEquals(refusalOf(await importFor(patient)), [404, "not_found"]);
  });
  await openChart(doctor, patient);
  const { imported, patient_id } = (await importFor(patient)).body.data;
  assertEquals([imported, patient_id], [24, patient.id]);
  await assertUnchanged([other.id], async () => {
    assertEquals(refusalOf(await importFor(other)), [404, "not_found"]);
  });
  const log = await must(patient.client.rpc("my_access_log", { p_limit: 100 }));
  const created = log.filter(({ summary }: Fhir) => summary === "Created a record");
  assertEquals(created.length, 24);
  assertEquals(new Set(created.map(({ purpose }: Fhir) => purpose)), new Set(["treatment"]));
});
