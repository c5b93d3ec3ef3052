// Exports of records through the gateway: what goes out is what came in, and comes in again; and each
// viewer gets what they may see and no more.

import { assert, assertEquals } from "@std/assert";
import { decodeBase64 } from "@std/encoding";
import { type Fhir, ownBundleText, syntheaBundles } from "../functions/bundles.ts";
import type { Person } from "../support/auth.ts";
import { assertUnchanged } from "../support/digest.ts";
import { exportOf } from "../support/exports.ts";
import {
  assertValidBundle,
  referencesIn,
  resourcesIn,
  titlesOf,
} from "../support/bundle_checks.ts";
import {
  databaseTest,
  must,
  newCaregiver,
  newDoctor,
  newPatient,
  openChart,
  startCare,
  withDatabase,
} from "../support/people.ts";
import { CONTACT, describe, readContacts, writeContact } from "../support/fields.ts";
import { newRecord, share } from "../support/records.ts";
import { call, newFile, recordsOf } from "../support/records_calls.ts";

const ABSENT_ID = "00000000-0000-4000-8000-000000000000";

const patientUrlOf = ({ id }: Person) => `urn:uuid:${id}`;

/** The description that a document has inside. */
function describedIn({ content }: Fhir): string {
  return new TextDecoder().decode(decodeBase64(content[0].attachment.data));
}

/** A bundle's Patient without what is the account's own. */
function patientIn({ entry }: Fhir): Fhir | undefined {
  return entry.find(({ resource }: Fhir) => resource.resourceType === "Patient")?.resource;
}

/** The next moment that PostgreSQL can tell apart; its times have up to six digits. */
function microsecondAfter(time: string): string {
  const [, seconds, digits = "", offset] = /^(.+:\d\d)(?:\.(\d+))?(\+00:00)$/.exec(time)!;
  const next = BigInt(Date.parse(`${seconds}Z`)) * 1000n + BigInt(digits.padEnd(6, "0")) + 1n;
  const whole = new Date(Number(next / 1_000_000n) * 1000).toISOString().slice(0, 19);
  return `${whole}.${String(next % 1_000_000n).padStart(6, "0")}${offset}`;
}

const BUNDLES = [
  { name: "ananya_rao.bundle.json", text: await ownBundleText() },
  ...syntheaBundles(),
];
for (const { name, text } of BUNDLES) {
  Deno.test(`${name} goes out as it came in, and into another history and out again`, async () => {
    const [first, second] = [await newPatient(), await newPatient()];
    assertEquals((await call(first, "import", text)).data.error_count, 0);
    const given: Fhir = JSON.parse(text);
    const givenUrl = given.entry.find(({ resource }: Fhir) => resource.resourceType === "Patient")
      .fullUrl;

    const out = await exportOf(first);
    assertEquals(out.status, 200);
    assertEquals(out.headers.get("content-type"), "application/fhir+json");
    assertEquals(out.headers.get("cache-control"), "no-store");
    assertValidBundle(out.text);
    assertEquals(resourcesIn(out.text, patientUrlOf(first)), resourcesIn(text, givenUrl));
    // What one resource says of another still leads there.
    assertEquals(
      referencesIn(out.text.replaceAll(patientUrlOf(first), "patient")),
      referencesIn(text.replaceAll(givenUrl, "patient")),
    );

    const back = await call(second, "import", out.text);
    assertEquals([back.status, back.data.error_count, back.data.patient], [200, 0, "filled"]);
    assertEquals(back.data.imported, out.entries.length - 1);
    assertEquals((await call(second, "import", out.text)).data.unchanged, back.data.imported);

    const again = await exportOf(second);
    assertValidBundle(again.text);
    assertEquals(
      resourcesIn(again.text, patientUrlOf(second)),
      resourcesIn(out.text, patientUrlOf(first)),
    );
    assertEquals(patientIn(again.bundle), patientIn(out.bundle));
    const [a, b] = [await recordsOf(first), await recordsOf(second)].map((records) =>
      records.map(({ title, record_type, record_date, source_id, sensitivity }) =>
        [source_id, title, record_type, record_date, sensitivity].join()
      ).toSorted()
    );
    assertEquals(b, a);

    // And to where it came from: nothing is doubled.
    const home = await call(first, "import", out.text);
    assertEquals([home.data.imported, home.data.error_count], [0, 0]);
    assertEquals((await exportOf(first)).entries, out.entries);
  });
}

Deno.test("uploads, notes and marked records go out as documents that come in as equal ones", async () => {
  const [first, second] = [await newPatient(), await newPatient()];
  await must(
    first.client.from("patients").update({
      ...{ first_name: "Mira", last_name: "Devi", date_of_birth: "1980-05-01", gender: "female" },
      ...{ city: "Pune", state: "MH", postal_code: "411001", country: "IN" },
    }).eq("id", first.id).select(),
  );
  await writeContact(first, CONTACT);
  await newFile(first);
  for (const record_type of ["insurance", "lab_result", "condition"]) {
    await newRecord(first, first.id, { title: `A ${record_type}`, record_type });
  }
  const marked = await newRecord(first, first.id, {
    title: "Not for\u00a0everybody",
    sensitivity: "sensitive",
    record_date: "2026-01-31",
  });
  await must(
    first.client.from("medical_record_contents").insert({ record_id: marked, metadata: { a: 1 } })
      .select("record_id"),
  );
  await describe(first, marked, "Two variants, व्याख्या below");

  const out = await exportOf(first);
  assertValidBundle(out.text);
  assert(!out.text.includes("v1."), "nothing goes out as it is kept");
  assertEquals(titlesOf(out), [
    "A condition",
    "A insurance",
    "A lab_result",
    "CT of the chest",
    "Not for everybody",
    "Patient",
  ]);
  assertEquals(patientIn(out.bundle), {
    resourceType: "Patient",
    name: [{ family: "Devi", given: ["Mira"] }],
    telecom: [{ system: "phone", value: CONTACT.phone }],
    gender: "female",
    birthDate: "1980-05-01",
    address: [{
      line: [CONTACT.address],
      city: "Pune",
      state: "MH",
      postalCode: "411001",
      country: "IN",
    }],
  });
  const file = out.entries.find(({ resource }) => resource.description === "CT of the chest");
  const [{ attachment }] = file!.resource.content;
  assertEquals(Object.keys(attachment).toSorted(), ["contentType", "extension", "size", "title"]);
  assert(!out.text.includes("token=") && !out.text.includes("/storage/"), "no address of a file");
  const sensitive = out.entries.find(({ resource }) => resource.id === marked)!.resource;
  assertEquals(sensitive.meta.security[0].code, "R");
  assertEquals(describedIn(sensitive), "Two variants, व्याख्या below");
  assertEquals(sensitive.context, { period: { start: "2026-01-31" } });

  const back = await call(second, "import", out.text);
  assertEquals([back.data.imported, back.data.error_count], [5, 0]);
  const types = (await recordsOf(second)).map(({ title, record_type, sensitivity }) =>
    `${title}: ${record_type}, ${sensitivity}`
  );
  assertEquals(types.toSorted(), [
    "A condition: condition, normal",
    "A insurance: insurance, normal",
    "A lab_result: lab_result, normal",
    "CT of the chest: imaging, normal",
    "Not for everybody: imaging, sensitive",
  ]);
  const again = await exportOf(second);
  assertEquals(
    resourcesIn(again.text, patientUrlOf(second)),
    resourcesIn(out.text, patientUrlOf(first)),
  );
  assertEquals(patientIn(again.bundle), patientIn(out.bundle));
  // What came in as a bundle is sealed there, too.
  const [contact] = await readContacts(second, second);
  assertEquals([contact!.phone, contact!.address], [CONTACT.phone, CONTACT.address]);
});

Deno.test("two systems with the same ids stay two histories in one bundle", async () => {
  const [first, second] = [await newPatient(), await newPatient()];
  const bundle = (words: string) => ({
    resourceType: "Bundle",
    type: "collection",
    entry: ["1", "2"].map((id) => ({
      resource: {
        resourceType: "Condition",
        id,
        code: { text: `${words} ${id}` },
        subject: { reference: "Patient/x" },
        ...id === "2" && { encounter: { reference: "Condition/1" } },
      },
    })),
  });
  await call(first, "import?source_system=urn:north", bundle("North"));
  await call(first, "import?source_system=urn:south", bundle("South"));
  const out = await exportOf(first);
  assertValidBundle(out.text);
  assertEquals(titlesOf(out), ["North 1", "North 2", "Patient", "South 1", "South 2"]);
  const ids = out.entries.map(({ resource }) => resource.id).filter(Boolean);
  assertEquals(new Set(ids).size, 4);
  const back = await call(second, "import", out.text);
  assertEquals([back.data.imported, back.data.error_count], [4, 0]);
  assertEquals(titlesOf(await exportOf(second)), titlesOf(out));
});

databaseTest("each viewer gets what they may see, logged once, and the rest get 404", async () => {
  const patient = await newPatient();
  const scan = await newRecord(patient, patient.id, { title: "Scan" });
  const genes = await newRecord(patient, patient.id, { title: "Genes", sensitivity: "sensitive" });
  const letter = await newRecord(patient, patient.id, { title: "Letter" });
  const gone = await newRecord(patient, patient.id, { title: "Gone" });
  await must(
    patient.client.from("medical_record_contents")
      .insert([scan, genes, letter, gone].map((record_id) => ({ record_id }))).select("record_id"),
  );
  await describe(patient, scan, "Clear margins");
  await writeContact(patient, { phone: CONTACT.phone });
  const [doctor, early, closed, carer, trusted, reader, unread, other, stranger] = await Promise
    .all([
      newDoctor("Dr Open"),
      newDoctor("Dr Without A Chart"),
      newDoctor("Dr Closed"),
      newCaregiver("Records only"),
      newCaregiver("Records and sensitive"),
      newCaregiver("Has opened"),
      newCaregiver("Has not opened"),
      newCaregiver("Other scopes"),
      newPatient("Stranger"),
    ]);
  for (const each of [doctor, early, closed]) await startCare(each, patient);
  await openChart(doctor, patient);
  await must(closed.client.rpc("close_chart", { p_id: await openChart(closed, patient) }));
  const scopes: [Person, string[]][] = [
    [carer, ["records"]],
    [trusted, ["records", "sensitive"]],
    [other, ["tracking", "sensitive"]],
  ];
  for (const [person, p_scopes] of scopes) {
    await must(patient.client.rpc("request_care", {
      ...{ p_member_or_patient_id: person.id, p_kind: "caregiver", p_scopes },
    }));
    const p_purpose = "delegated";
    await must(person.client.rpc("open_chart", { p_patient_id: patient.id, p_purpose }));
  }
  for (const record of [scan, genes]) await share(patient, record, reader);
  await must(reader.client.rpc("open_medical_record", { p_record_id: scan }));
  // Listed for this caregiver, but not opened, and beyond the scope: not to be taken along.
  await share(patient, genes, carer);
  await share(patient, scan, unread);
  await must(patient.client.rpc("delete_medical_record", { p_id: gone }));

  const query = { patient_id: patient.id };
  const may: [string, Person, string[], string | null][] = [
    ["owner", patient, ["Genes", "Letter", "Patient", "Scan"], null],
    ["doctor", doctor, ["Genes", "Letter", "Patient", "Scan"], "treatment"],
    ["caregiver", carer, ["Letter", "Patient", "Scan"], "delegated"],
    ["trusted", trusted, ["Genes", "Letter", "Patient", "Scan"], "delegated"],
    ["reader", reader, ["Scan"], "share"],
  ];
  for (const [who, person, titles] of may) {
    const out = await exportOf(person, query);
    assertEquals(out.status, 200, who);
    assertValidBundle(out.text);
    assertEquals(titlesOf(out), titles, who);
    const read = out.entries.find(({ resource }) => resource.id === scan);
    if (read) assertEquals(describedIn(read.resource), "Clear margins", who);
    assertEquals(
      patientIn(out.bundle)?.telecom,
      titles.includes("Patient") ? [{ system: "phone", value: CONTACT.phone }] : undefined,
      who,
    );
  }
  const scopesOf = new Map(
    [carer, trusted].map(({ id }, index) => [id, { caregiver_scopes: scopes[index]![1] }]),
  );
  const events = () =>
    withDatabase((sql) =>
      sql`select actor_id, resource_type, resource_id, purpose, new_values
          from public.audit_events
          where patient_id = ${patient.id}
            and (action = 'export_records' or action like 'read%')
          order by id`
    );
  assertEquals(
    [...await events()],
    may.map(([, { id }, , purpose]) => ({
      ...{ actor_id: id, resource_type: "patient", resource_id: patient.id, purpose },
      // A caregiver's row says what they were shown at that time.
      new_values: scopesOf.get(id) ?? null,
    })),
  );
  const log = await must(patient.client.rpc("my_access_log", { p_limit: 100 }));
  assertEquals(
    log.filter(({ action }: Fhir) => action === "export_records")
      .map(({ actor_id, summary }: Fhir) => [actor_id, summary]).toReversed(),
    may.slice(1).map(([, { id }]) => [id, "Exported your records"]),
  );

  await assertUnchanged([patient.id], async () => {
    const mayNot = { early, closed, unread, other, stranger };
    for (const [who, person] of Object.entries(mayNot)) {
      assertEquals((await exportOf(person, query)).refusal, [404, "not_found"], who);
    }
  });
  const absent = await exportOf(stranger, { patient_id: ABSENT_ID });
  const others = await exportOf(stranger, query);
  assertEquals(absent.bundle.error.message, others.bundle.error.message);
  assertEquals((await exportOf(null, query)).refusal, [401, "unauthenticated"]);
  assertEquals(titlesOf(await exportOf(stranger)), ["Patient"]);

  // Each right, once it has ended.
  await must(patient.client.rpc("set_care_scopes", {
    p_id: (await must(
      patient.client.from("care_relationships").select("id").eq("member_id", trusted.id).single(),
    )).id,
    p_scopes: ["records"],
  }));
  assertEquals(titlesOf(await exportOf(trusted, query)), ["Letter", "Patient", "Scan"]);
  const shares = await must(
    patient.client.from("medical_record_shares").select("id").eq("shared_with_id", reader.id),
  );
  for (const { id } of shares) await must(patient.client.rpc("revoke_record_share", { p_id: id }));
  assertEquals((await exportOf(reader, query)).refusal, [404, "not_found"]);
});

Deno.test("a token whose session was signed out exports nothing, though it has not expired", async () => {
  const person = await newPatient();
  const token = person.session.access_token;
  assertEquals((await exportOf(token)).status, 200);
  await person.client.auth.signOut();
  assertEquals((await exportOf(token)).refusal, [401, "unauthenticated"]);
});

databaseTest(
  "_since and _type choose among what the caller may see, and are in the log",
  async () => {
    const person = await newPatient();
    await call(person, "import", await ownBundleText());
    const types = ({ entries }: { entries: { resource: Fhir }[] }) =>
      [...new Set(entries.map(({ resource }) => resource.resourceType))].toSorted();
    const some = await exportOf(person, { _type: "Condition,Immunization" });
    assertValidBundle(some.text);
    assertEquals(types(some), ["Condition", "Immunization"]);
    assertEquals(types(await exportOf(person, { _type: "Patient" })), ["Patient"]);
    const documents = await exportOf(person, { _type: "DocumentReference" });
    assertEquals(documents.entries.length, 2);

    const record = await newRecord(person, person.id, { title: "Newest" });
    const { updated_at } = await must(
      person.client.from("medical_records").select("updated_at").eq("id", record).single(),
    );
    assertEquals(titlesOf(await exportOf(person, { _since: updated_at })), ["Newest", "Patient"]);
    const after = microsecondAfter(updated_at);
    assertEquals(titlesOf(await exportOf(person, { _since: after })), ["Patient"]);
    // A record whose contents have changed has changed.
    const old = (await recordsOf(person)).find(({ source_id }) =>
      source_id === "Condition/cond-1"
    )!;
    await must(
      person.client.from("medical_record_contents").update({ metadata: { read: true } })
        .eq("record_id", old.id).select("record_id"),
    );
    const changed = await exportOf(person, { _since: after, _type: "Condition" });
    assertEquals(
      changed.entries.map(({ resource }) => resource.id),
      ["cond-1"],
    );

    for (const [name, value] of [["_type", "Claim"], ["_since", "2026-01-01"]] as const) {
      assertEquals((await exportOf(person, { [name]: value })).refusal, [400, "invalid_request"]);
    }
    const [event] = await withDatabase((sql) =>
      sql`select new_values from public.audit_events
        where patient_id = ${person.id} and action = 'export_records' order by id desc limit 1`
    );
    assertEquals(event?.new_values.resource_types, ["Condition"]);
    assertEquals(Date.parse(event?.new_values.since), Date.parse(after));
  },
);
