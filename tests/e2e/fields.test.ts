// Encrypted fields through the whole stack: who reads and finds what, what the data API shows of it,
// what the patient's log says, and what a row that was meddled with leads to.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { bundleOf, condition, patient as fhirPatient } from "../functions/bundles.ts";
import { type Person, tokenOf } from "../support/auth.ts";
import { assertUnchanged } from "../support/digest.ts";
import {
  ask,
  CONTACT,
  describe,
  descriptions,
  readContacts,
  search,
  writeContact,
} from "../support/fields.ts";
import {
  databaseTest,
  must,
  newCaregiver,
  newDoctor,
  newPatient,
  openChart,
  raiseToAal2,
  startCare,
  theAdmin,
  withDatabase,
} from "../support/people.ts";
import { mustPost, newRecord, refusal, share } from "../support/records.ts";
import { refusalOf, send } from "../support/requests.ts";

/** The patient appoints a caregiver, who opens the chart. */
async function appoint(patient: Person, carer: Person, scopes: string[]): Promise<void> {
  await must(patient.client.rpc("request_care", {
    ...{ p_member_or_patient_id: carer.id, p_kind: "caregiver", p_scopes: scopes },
  }));
  await must(
    carer.client.rpc("open_chart", { p_patient_id: patient.id, p_purpose: "delegated" }),
  );
}

/** A patient with every field, and one person for each way to stand to them. */
async function newCase() {
  const [patient, doctor, waiting, onePassword, carer, other, stranger] = await Promise.all([
    newPatient("Ananya"),
    newDoctor(),
    newDoctor("Dr Waiting"),
    newDoctor("Dr One Factor", "aal1"),
    newCaregiver("In scope"),
    newCaregiver("Out of scope"),
    newPatient("Stranger"),
  ]);
  await writeContact(patient, CONTACT);
  await must(
    patient.client.from("patients").update({ first_name: "Ananya", last_name: "Rao" })
      .eq("id", patient.id),
  );
  await startCare(doctor, patient);
  await openChart(doctor, patient);
  await startCare(waiting, patient);
  await startCare(onePassword, patient);
  await appoint(patient, carer, ["records"]);
  await appoint(patient, other, ["appointments", "messages"]);
  return { patient, doctor, waiting, onePassword, carer, other, stranger };
}

/** Rows of the patient's access log, oldest first, in words. */
async function logOf({ client }: Person, actions: string[]): Promise<string[]> {
  const log = await must(client.rpc("my_access_log", { p_limit: 100 }));
  return log.filter(({ action }: { action: string }) => actions.includes(action)).reverse()
    .map(({ actor_name, purpose, summary }: Record<string, string>) =>
      `${actor_name} (${purpose}): ${summary}`
    );
}

databaseTest(
  "contact fields are read by whoever may see the row, and logged for others",
  async () => {
    const all = await newCase();
    const { patient, stranger } = all;
    const whole = { id: patient.id, ...CONTACT };
    const none = { phone: null, address: null, insurance_policy_number: null };
    const own = (id: string) => ({ id, ...none, emergency_contact_phone: null });

    assertEquals(await readContacts(patient, patient, stranger), [whole]);
    assertEquals(await readContacts(all.doctor, stranger, patient, patient), [whole]);
    assertEquals(await readContacts(all.carer, patient), [whole]);
    for (const nobody of [all.waiting, all.onePassword, all.other, await theAdmin()]) {
      assertEquals(await readContacts(nobody, patient), []);
    }
    assertEquals(await readContacts(stranger, patient, stranger), [own(stranger.id)]);
    assertEquals(await logOf(patient, ["read_contact"]), [
      "Dr Meera Iyer (treatment): Read your contact details",
      "In scope (delegated): Read your contact details",
    ]);
    assertEquals(await logOf(stranger, ["read_contact"]), []);

    // With the second factor and a chart, the one who had neither reads, too.
    await raiseToAal2(all.onePassword.client);
    await openChart(all.onePassword, patient);
    assertEquals(await readContacts(all.onePassword, patient), [whole]);
  },
);

databaseTest(
  "contact fields are hidden again when the chart closes and when care narrows",
  async () => {
    const { patient, doctor, carer } = await newCase();
    const { data: chart } = await doctor.client.from("chart_sessions").select("id")
      .eq("patient_id", patient.id).single();
    await must(
      doctor.client.rpc("close_chart", { p_id: chart!.id }),
    );
    assertEquals(await readContacts(doctor, patient), []);
    assertEquals(await search(doctor, { phone: CONTACT.phone }), []);

    const { data: care } = await carer.client.from("care_relationships").select("id").single();
    assertEquals((await readContacts(carer, patient)).length, 1);
    await patient.client.rpc("set_care_scopes", { p_id: care!.id, p_scopes: ["messages"] });
    assertEquals(await readContacts(carer, patient), []);
    assertEquals(await search(carer, { phone: CONTACT.phone }), []);
  },
);

databaseTest("patients are found by phone and policy number by whoever may see them", async () => {
  const all = await newCase();
  const { patient, stranger } = all;
  for (
    const by of [
      { phone: CONTACT.phone },
      { phone: "0091 (98450) 00117" },
      { phone: "098450-00117" },
      { phone: "98450 00117 x7" },
      { insurance_policy_number: "hx204118A" },
    ]
  ) {
    for (const person of [patient, all.doctor, all.carer]) {
      assertEquals(await search(person, by), [patient.id], JSON.stringify(by));
    }
    for (const person of [all.waiting, all.onePassword, all.other, stranger]) {
      assertEquals(await search(person, by), [], JSON.stringify(by));
    }
  }
  for (
    const by of [
      { phone: "+44 98450 00117" },
      { phone: "+91 98450 00118" },
      { phone: CONTACT.emergency_contact_phone },
      { insurance_policy_number: "HX 204-119/a" },
      { insurance_policy_number: CONTACT.phone },
    ]
  ) {
    assertEquals(await search(all.doctor, by), [], JSON.stringify(by));
  }
  const found = await logOf(patient, ["match_contact"]);
  assertEquals(
    new Set(found),
    new Set([
      "Dr Meera Iyer (treatment): Found you by your phone or policy number",
      "In scope (delegated): Found you by your phone or policy number",
    ]),
  );
  assertEquals(found.length, 10);

  // A new number is found from then on, and the old one no more.
  await writeContact(patient, { phone: "+44 (0)20 7946 0958", insurance_policy_number: null });
  assertEquals(await search(all.doctor, { phone: "020 7946 0958" }), [patient.id]);
  assertEquals(await search(all.doctor, { phone: CONTACT.phone }), []);
  assertEquals(
    await search(all.doctor, { insurance_policy_number: CONTACT.insurance_policy_number }),
    [],
  );
});

databaseTest(
  "who may not see a patient gets the same answer whether the number is theirs or nobody's",
  async () => {
    const { patient, stranger, other } = await newCase();
    for (const person of [stranger, other]) {
      const searchFor = (phone: string) =>
        ask(person, "POST", "identity/patients/search", { phone });
      const [theirs, nobodys] = [
        await searchFor(CONTACT.phone!),
        await searchFor("+91 70000 00000"),
      ];
      for (const answer of [theirs, nobodys]) delete answer.body.timestamp;
      assertEquals([theirs.status, theirs.body], [nobodys.status, nobodys.body]);
    }
    assertEquals(await logOf(patient, ["match_contact"]), []);
  },
);

databaseTest(
  "the data API shows ciphertext, and writes none of the encrypted columns",
  async () => {
    const { patient, doctor } = await newCase();
    for (const { client } of [patient, doctor]) {
      const [row] = await must(client.from("patients").select("*").eq("id", patient.id));
      const values: unknown[] = Object.keys(CONTACT).map((name) => row[name]);
      for (const value of values) {
        assertMatch(
          String(value),
          /^v1\.[0-9a-f-]{36}\.[A-Za-z0-9+/]+=*$/,
        );
      }
      assertEquals(new Set(values).size, 4);
      for (const text of Object.values(CONTACT)) assert(!JSON.stringify(row).includes(text!));
    }
    const record = await newRecord(patient, patient.id);
    await assertUnchanged([patient.id], async () => {
      const { client } = patient;
      for (const [name, text] of Object.entries(CONTACT)) {
        const written = await client.from("patients").update({ [name]: text }).eq("id", patient.id);
        assertEquals(refusal(written), [403, "42501"], name);
      }
      const inserted = await client.from("medical_record_contents")
        .insert({ record_id: record, description: "x" });
      assertEquals(refusal(inserted), [403, "42501"]);
      for (const table of ["patient_search_keys", "data_keys"]) {
        assert((await client.from(table).select()).error, table);
      }
      for (const name of ["read_patient_fields", "find_patients", "keep_patient_key"]) {
        const called = await send(`/rest/v1/rpc/${name}`, {
          method: "POST",
          token: await tokenOf(client),
          body: "{}",
        });
        assertEquals(called.status, 404, name);
      }
    });
  },
);

databaseTest("only a patient writes contact fields, and only their own", async () => {
  const { patient, doctor, carer } = await newCase();
  await assertUnchanged([patient.id], async () => {
    await writeContact(doctor, { phone: "+91 70000 00000" });
    const refused = await ask(carer, "PATCH", "identity/patient", { phone: "+91 70000 00000" });
    assertEquals(refusalOf(refused), [404, "not_found"]);
    const named = { patient_id: patient.id, phone: "+91 70000 00000" };
    const answer = await ask(doctor, "PATCH", "identity/patient", named);
    assertEquals(refusalOf(answer), [400, "invalid_request"]);
  });
  assertEquals(await readContacts(patient, patient), [{ id: patient.id, ...CONTACT }]);

  await writeContact(patient, { address: null, phone: "555-0101" });
  assertEquals(await readContacts(patient, patient), [
    { id: patient.id, ...CONTACT, address: null, phone: "555-0101" },
  ]);
});

databaseTest("first fields that are written at once are all under one key", async () => {
  const patient = await newPatient();
  await Promise.all(
    Object.entries(CONTACT).map(([name, text]) => writeContact(patient, { [name]: text })),
  );
  assertEquals(await readContacts(patient, patient), [{ id: patient.id, ...CONTACT }]);
  const keys = await withDatabase((sql) =>
    sql`select id from private.data_keys where subject_id = ${patient.id}`
  );
  assertEquals(keys.length, 1);
});

databaseTest(
  "an import seals phone and address, fills what is empty, and is found by the phone",
  async () => {
    const patient = await newPatient();
    await writeContact(patient, { address: "1 Elm" });
    const bundle = bundleOf(
      fhirPatient({
        telecom: [{ system: "phone", value: "+91 98450 00117" }],
        address: [{ line: ["14, 3rd Cross"], city: "Pune" }],
      }),
      condition(),
    );
    const { imported, patient: outcome } = await mustPost(patient.client, "import", bundle);
    assertEquals([imported, outcome], [1, "filled"]);
    const [filled] = await readContacts(patient, patient);
    assertEquals([filled?.phone, filled?.address], ["+91 98450 00117", "1 Elm"]);
    assertEquals(await search(patient, { phone: "98450 00117" }), [patient.id]);
    const again = await mustPost(patient.client, "import", bundle);
    assertEquals([again.unchanged, again.patient], [1, "unchanged"]);
  },
);

databaseTest("an import by a doctor seals under the patient's key", async () => {
  const { patient, doctor } = await newCase();
  await writeContact(patient, { phone: null });
  const telecom = [{ system: "phone", value: "+91 98450 00200" }];
  await mustPost(
    doctor.client,
    `import?patient_id=${patient.id}`,
    bundleOf(
      fhirPatient({ name: [{ family: "Rao", given: ["Ananya"] }], telecom }),
    ),
  );
  assertEquals(await readContacts(patient, patient), [
    { id: patient.id, ...CONTACT, phone: "+91 98450 00200" },
  ]);
  // A doctor whose chart is not open gets as far as one who names nobody.
  const stranger = await newDoctor("Dr Nobody");
  const refused = await ask(
    stranger,
    "POST",
    `records/import?patient_id=${patient.id}`,
    bundleOf(fhirPatient({ telecom })),
  );
  assertEquals(refusalOf(refused), [404, "not_found"]);
});

databaseTest(
  "a description is written and read by the rights of the contents, and logged",
  async () => {
    const { patient, doctor, waiting, carer, other, stranger } = await newCase();
    const [normal, sensitive] = [
      await newRecord(patient, patient.id),
      await newRecord(patient, patient.id, { sensitivity: "sensitive" }),
    ];
    await describe(patient, normal, "Clear margins");
    await describe(patient, sensitive, "BRCA1 carrier");
    const finding = await newRecord(doctor, patient.id);
    await describe(doctor, finding, "Cyst, 4 mm");

    const of = (person: Person) => descriptions(person, normal, sensitive, finding);
    const whole = ["Clear margins", "BRCA1 carrier", "Cyst, 4 mm"];
    assertEquals(await of(patient), whole);
    assertEquals(await of(doctor), whole);
    assertEquals(await of(carer), ["Clear margins", "Cyst, 4 mm"]);
    for (const person of [waiting, other, stranger]) assertEquals(await of(person), []);

    // By a share: after the record is opened, which is in the log itself.
    await share(patient, normal, stranger);
    assertEquals(await of(stranger), []);
    await must(stranger.client.rpc("open_medical_record", { p_record_id: normal }));
    assertEquals(await of(stranger), ["Clear margins"]);
    const read = "Read the description of a record";
    assertEquals(await logOf(patient, ["read_description"]), [
      ...Array(3).fill(`Dr Meera Iyer (treatment): ${read}`),
      ...Array(2).fill(`In scope (delegated): ${read}`),
      `Stranger (share): ${read}`,
    ]);

    for (
      const [person, record] of [[doctor, normal], [carer, normal], [stranger, normal]] as const
    ) {
      const refused = await ask(person, "PUT", `records/${record}/description`, {
        description: "x",
      });
      assertEquals(refusalOf(refused), [404, "not_found"]);
    }
    await describe(patient, finding, null);
    assertEquals(await of(patient), ["Clear margins", "BRCA1 carrier", null]);
  },
);

databaseTest(
  "a value that was moved to another row or column is refused, by patient and doctor",
  async () => {
    const { patient, doctor, stranger } = await newCase();
    await writeContact(stranger, CONTACT);
    const opened = await ask(doctor, "POST", "identity/patients/read", {
      patient_ids: [patient.id],
    });
    assertEquals(opened.status, 200);
    const meddle = (change: string) =>
      withDatabase((sql) =>
        sql.unsafe(`update public.patients as p set ${change} where p.id = '${patient.id}'`)
      );
    const [before] = await withDatabase((sql) =>
      sql`select phone, address from public.patients where id = ${patient.id}`
    );
    for (
      const change of [
        "phone = p.emergency_contact_phone",
        `phone = (select o.phone from public.patients as o where o.id = '${stranger.id}')`,
      ]
    ) {
      await meddle(change);
      for (const person of [patient, doctor]) {
        const answer = await ask(person, "POST", "identity/patients/read", {
          patient_ids: [patient.id],
        });
        assertEquals(refusalOf(answer), [500, "internal"], change);
        assert(!JSON.stringify(answer.body).includes("98450"));
      }
      await meddle(`phone = '${before!.phone}'`);
    }
    // Written back, it opens as before; and the database takes no plaintext, whoever writes it.
    assertEquals(await readContacts(doctor, patient), [{ id: patient.id, ...CONTACT }]);
    const refused = await meddle("phone = '+91 98450 00117'").then(
      () => "done",
      ({ code }) => code,
    );
    assertEquals(refused, "23514");
  },
);

databaseTest("fields of an erased key are gone, for good and for everybody", async () => {
  const { patient, doctor } = await newCase();
  assertEquals((await readContacts(doctor, patient))[0]!.phone, CONTACT.phone);
  await withDatabase((sql) =>
    sql`update private.data_keys set wrapped_key = null, erased_at = now()
      where subject_id = ${patient.id}`
  );
  const none = { phone: null, address: null, insurance_policy_number: null };
  for (const person of [patient, doctor]) {
    assertEquals(await readContacts(person, patient), [
      { id: patient.id, ...none, emergency_contact_phone: null },
    ]);
  }
  await writeContact(patient, { phone: "555-0101" });
  assertEquals((await readContacts(doctor, patient))[0]!.phone, "555-0101");
});
