// Imports of FHIR bundles through the gateway: once, again, changed, bad, and for somebody else.

import { assert, assertEquals } from "@std/assert";
import { sampleFile } from "../fixtures/files.ts";
import {
  bundleOf,
  condition,
  type Fhir,
  observation,
  ownBundle,
  ownBundleText,
  patient,
  syntheaBundles,
} from "../functions/bundles.ts";
import {
  databaseTest,
  must,
  newDoctor,
  newPatient,
  openChart,
  startCare,
  withDatabase,
} from "../support/people.ts";
import { call, newRecord, recordsOf, upload } from "../support/records_calls.ts";

const ABSENT_ID = "00000000-0000-4000-8000-000000000000";

Deno.test("a history is imported once, and again only where it has changed", async () => {
  const person = await newPatient();
  const first = await call(person, "import", await ownBundleText());
  assertEquals(first.status, 200);
  assertEquals(first.data.imported, 24);
  assertEquals([first.data.error_count, first.data.patient], [0, "filled"]);
  const before = await recordsOf(person);
  assertEquals(before.length, 24);

  const second = await call(person, "import", await ownBundleText());
  assertEquals([second.data.imported, second.data.updated, second.data.unchanged], [0, 0, 24]);
  assertEquals(second.data.patient, "unchanged");
  assertEquals(await recordsOf(person), before);

  const bundle = await ownBundle();
  const changed = bundle.entry.find(({ resource }: Fhir) => resource.id === "cond-1").resource;
  changed.code.text = "Invasive ductal carcinoma, restaged";
  const third = await call(person, "import", bundle);
  assertEquals([third.data.imported, third.data.updated, third.data.unchanged], [0, 1, 23]);
  const after = await recordsOf(person);
  const now = after.find(({ source_id }) => source_id === "Condition/cond-1");
  assertEquals(now?.title, "Invasive ductal carcinoma, restaged");
  assertEquals(now?.medical_record_contents.fhir, changed);
  assertEquals(
    after.filter((record) => record.id !== now?.id),
    before.filter(({ id }) => id !== now?.id),
  );

  const { data: registry } = await person.client.from("patients")
    .select("first_name, last_name, date_of_birth, city").eq("id", person.id).single();
  assertEquals(registry, {
    first_name: "Ananya",
    last_name: "Rao",
    date_of_birth: "1979-08-23",
    city: "Bengaluru",
  });
});

databaseTest("an imported number is stored with the precision it was given", async () => {
  const person = await newPatient();
  await call(person, "import", await ownBundleText());
  const [row] = await withDatabase((sql) =>
    sql`select c.fhir #>> '{valueQuantity,value}' as value
        from public.medical_records as r
        join public.medical_record_contents as c on c.record_id = r.id
        where r.patient_id = ${person.id} and r.source_id = 'Observation/obs-hb-1'`
  );
  assertEquals(row?.value, "11.20");
});

for (const { name, text } of syntheaBundles()) {
  Deno.test(`Synthea's ${name} is imported whole, and twice without a change`, async () => {
    const person = await newPatient();
    const first = await call(person, "import", text);
    assertEquals([first.status, first.data.error_count, first.data.patient], [200, 0, "filled"]);
    assert(first.data.imported > 100, `${first.data.imported} imported`);
    const second = await call(person, "import", text);
    assertEquals([second.data.imported, second.data.updated], [0, 0]);
    assertEquals(second.data.unchanged, first.data.imported);
    assertEquals((await recordsOf(person)).length, first.data.imported);
  });
}

Deno.test("somebody else's history is refused whole, and nothing changes", async () => {
  const person = await newPatient();
  await call(person, "import", await ownBundleText());
  const before = await recordsOf(person);
  const own = await ownBundle();
  const othersBirthday = structuredClone(own);
  othersBirthday.entry[0].resource.birthDate = "1979-08-24";
  const othersNumber = structuredClone(own);
  othersNumber.entry[0].resource.identifier[0].value = "BL-9999-9";
  const namesake = structuredClone(own);
  Object.assign(namesake.entry[0].resource.name[0], { family: "Kuvalis", given: ["Lavelle"] });
  const mixed = structuredClone(own);
  mixed.entry[5].resource.subject.reference = "Patient/another";
  for (const bundle of [othersBirthday, othersNumber, namesake, mixed]) {
    for (const { resource } of bundle.entry) if (resource.code?.text) resource.code.text += " x";
    const { status, code } = await call(person, "import", bundle);
    assertEquals([status, code], [422, "wrong_patient"]);
  }
  assertEquals(await recordsOf(person), before);
});

Deno.test("nobody imports for a patient without a right on that patient", async () => {
  const [victim, stranger] = [await newPatient(), await newPatient()];
  for (const patient_id of [victim.id, ABSENT_ID]) {
    const { status, code } = await call(
      stranger,
      `import?patient_id=${patient_id}`,
      bundleOf(condition()),
    );
    assertEquals([status, code], [404, "not_found"]);
  }
  assertEquals(await recordsOf(victim), []);
  assertEquals(await recordsOf(stranger), []);
});

databaseTest(
  "a doctor imports and uploads for a patient only while the chart is open",
  async () => {
    const [sick, doctor] = [await newPatient(), await newDoctor()];
    const importFor = () => call(doctor, `import?patient_id=${sick.id}`, bundleOf(condition()));
    assertEquals((await importFor()).code, "not_found");
    await startCare(doctor, sick);
    assertEquals((await importFor()).code, "not_found");
    doctor.session.access_token =
      (await doctor.client.auth.getSession()).data.session!.access_token;

    const chart = await openChart(doctor, sick);
    const imported = await importFor();
    assertEquals([imported.status, imported.data.imported, imported.data.patient_id], [
      200,
      1,
      sick.id,
    ]);
    assertEquals((await recordsOf(sick)).map(({ title }) => title), ["Anaemia"]);
    const recordId = await newRecord(doctor, sick.id);
    const { bytes, announced } = await sampleFile("application/dicom");
    const { done } = await upload(doctor, recordId, announced, bytes);
    assertEquals((await call(doctor, `${recordId}/complete`, done)).status, 200);
    assertEquals((await call(doctor, `${recordId}/download-url`)).status, 200);

    await must(doctor.client.rpc("close_chart", { p_id: chart }));
    assertEquals((await importFor()).code, "not_found");
    assertEquals((await call(doctor, `${recordId}/download-url`)).code, "not_found");
    assertEquals((await recordsOf(sick)).length, 2);
  },
);

Deno.test("bad resources are reported and the rest goes in", async () => {
  const person = await newPatient();
  const { status, data } = await call(
    person,
    "import",
    bundleOf(
      patient(),
      condition({ id: "nul", note: [{ text: "x\u0000y" }] }),
      condition({ id: "half", note: [{ text: "x\ud800y" }] }),
      condition({ id: "bad", code: "x" }),
      observation({ id: "huge", valueQuantity: { value: 1e300 } }),
      { resourceType: "Claim" },
      condition({ id: "fine" }),
    ),
  );
  assertEquals([status, data.imported, data.error_count], [200, 2, 3]);
  assertEquals(data.skipped, { Claim: 1 });
  assertEquals((await recordsOf(person)).map(({ source_id }) => source_id).toSorted(), [
    "Condition/fine",
    "Observation/huge",
  ]);
});

Deno.test("bodies that are no bundle are refused, and nothing changes", async () => {
  const person = await newPatient();
  const entry = JSON.stringify({ resource: condition() });
  const bundle = (entries: string) =>
    `{"resourceType":"Bundle","type":"collection","entry":[${entries}]}`;
  const bad: [string | Uint8Array<ArrayBuffer>, number][] = [
    ["", 400],
    ["{", 400],
    ["[]", 400],
    [bundle(Array(100_000).fill(entry).join(",")), 400],
    [bundle("[".repeat(100) + "]".repeat(100)), 400],
    ["[".repeat(1_000_000), 400],
    [bundle(entry).replace('"type"', '"unknown":1,"type"'), 400],
    [Uint8Array.of(0x22, 0xff, 0x22), 400],
    [new Uint8Array(21 * 1024 * 1024).fill(0x20), 413],
  ];
  for (const [body, expected] of bad) {
    const { status } = await call(person, "import", body);
    assertEquals(status, expected);
  }
  assertEquals(await recordsOf(person), []);
});

Deno.test("a caller who imports too often is told to wait", async () => {
  const person = await newPatient();
  const statuses: number[] = [];
  let last = await call(person, "import", bundleOf());
  for (let count = 0; count < 12 && last.status === 200; count++) {
    statuses.push(last.status);
    assertEquals(last.headers.get("ratelimit-limit"), "10");
    last = await call(person, "import", bundleOf());
  }
  assertEquals([last.status, last.code], [429, "rate_limited"]);
  assert(Number(last.headers.get("retry-after")) > 0);
  assertEquals(last.headers.get("ratelimit-remaining"), "0");
  assert(statuses.length >= 10);
  assertEquals((await call(await newPatient(), "import", bundleOf())).status, 200);
});
