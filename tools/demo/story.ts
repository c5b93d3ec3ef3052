// The story itself: a patient's record from sign-up to a doctor's open chart, each step a request
// of an ordinary client, and at the end who could see what.

import { SAMPLES, sha256 } from "../../tests/fixtures/files.ts";
import {
  type AccessRow,
  HEAD,
  isAsExpected,
  look,
  NOTHING,
  type Target,
  toCells,
} from "./access.ts";
import { tellEmergency } from "./emergency.ts";
import { Narrator, tableLines } from "./narrator.ts";
import { encryptStream, importKey, uploadRecordFile } from "../../clients/records.ts";
import {
  callFunction,
  callRecords,
  type Client,
  granted,
  type Outcome,
  outcome,
} from "./outcome.ts";
import { makeAdministrator, type Person, signInAgain, signUp, useSecondFactor } from "./people.ts";
import type { RunningStack } from "./stack.ts";

/** What the story is about. */
interface StoryInput {
  stack: RunningStack;
  /** Text of a FHIR R4 Bundle about one patient. */
  bundle: string;
  /** First name of that patient. */
  patientName: string;
  print: (line: string) => void;
}

/** Answer of an import. */
interface Imported {
  imported: number;
  updated: number;
  unchanged: number;
  skipped: Record<string, number>;
  error_count: number;
}

/** What the last column means; all but the first and the last are names that why_can_see gives. */
const RULES = [
  "owner        the data is the patient's own",
  "share        the patient shares this one record, until a day",
  "care_doctor  the patient accepted the doctor, who may open the chart; alone it shows nothing",
  "open_chart   shows all for 60 minutes, to a session with two factors",
  "none         no rule applies, and every id is answered as one that nobody has",
];

const DAY_MS = 86_400_000;
const BUCKET = "medical-records";
/** What the patient writes into encrypted columns. */
const PHONE = "+91 98450 00117";
const FINDING = "No sign of spread to lungs or lymph nodes";

/** Tells the story; answers whether everything went as it must. */
export async function tellStory(input: StoryInput): Promise<boolean> {
  const told = new Narrator(input.print);
  const story = new Story(input, told);
  const patient = await story.patientSignsUp();
  const total = await story.patientImportsHistory(patient);
  const target = await story.patientUploadsScan(patient, total + 1);
  await story.patientWritesWhatIsEncrypted(patient, target);
  await story.relativeSeesOneRecord(patient, target);
  await story.shareExpires(patient, target);
  const { doctor, admin } = await story.doctorIsVerified(target);
  await story.patientAcceptsDoctor(patient, doctor, target);
  await story.doctorReads(doctor, target);
  await story.strangerSeesNothing(target);
  await story.patientReadsLog(patient, target);
  await story.doctorLeaves(doctor, target);
  await story.emergency(patient, admin, target);
  story.printTable(total + 1);
  return told.end();
}

class Story {
  #stack: RunningStack;
  #input: StoryInput;
  #told: Narrator;
  #rows: AccessRow[] = [];

  constructor(input: StoryInput, told: Narrator) {
    this.#input = input;
    this.#stack = input.stack;
    this.#told = told;
  }

  async patientSignsUp(): Promise<Person> {
    const told = this.#told;
    told.chapter(`${this.#input.patientName} signs up as a patient`);
    told.did("supabase.auth.signUp({ email, password, options: { data: { display_name } } })");
    const patient = await signUp(this.#stack, this.#input.patientName);
    const { client } = patient;
    const [profile] = await granted(client.from("profiles").select("role, is_verified"));
    told.expect(`the profile says: role ${profile?.role}`, profile?.role === "patient");
    const registry = await granted(client.from("patients").select("id, last_name"));
    told.expect(
      "the registry has a row for the patient, still empty",
      registry.length === 1 && registry[0]?.last_name === null,
    );
    return patient;
  }

  /** Answers the number of records that the history makes. */
  async patientImportsHistory({ client, name }: Person): Promise<number> {
    const told = this.#told;
    const { bundle } = this.#input;
    const kilobytes = Math.ceil(bundle.length / 1000);
    told.chapter(`${name} imports the hospital history, a FHIR R4 bundle of ${kilobytes} kB`);
    told.did('supabase.functions.invoke("records/import", { body: bundle })');
    const first = await callRecords<Imported>(client, "import", bundle);
    if (!first.data) throw new Error(`The import is refused: ${first.refusal}, ${first.detail}`);
    const { imported, skipped, error_count } = first.data;
    told.expect(`${imported} resources became records`, imported > 1);
    const left = Object.entries(skipped).map(([type, count]) => `${count} ${type}`).join(", ");
    told.tell(`no record is made of: ${left || "nothing was left out"}`);
    if (error_count > 0) told.tell(`${error_count} resources were not valid and are left out`);
    const newest = await granted(
      client.from("medical_records").select("title, record_type, record_date")
        .order("record_date", { ascending: false, nullsFirst: false })
        .order("id", { ascending: false }).limit(4),
    );
    told.tell("the newest of them:");
    for (const { title, record_type, record_date } of newest) {
      told.tell(`  ${record_date ?? "no date   "}  ${record_type.padEnd(18)} ${title}`);
    }

    told.did("the same once more");
    const again = await callRecords<Imported>(client, "import", bundle);
    told.expect(
      `nothing is added: ${again.data?.unchanged} are unchanged`,
      again.data?.imported === 0 && again.data.updated === 0 && again.data.unchanged === imported,
    );
    return imported;
  }

  async patientUploadsScan({ client, id, name }: Person, total: number): Promise<Target> {
    const told = this.#told;
    told.chapter(`${name} adds a CT scan and uploads its file through a signed address`);
    const { id: recordId } = await granted(
      client.from("medical_records")
        .insert({ patient_id: id, title: "CT of the chest", record_type: "imaging" })
        .select("id").single(),
    );
    const scan = SAMPLES["application/dicom"];
    const announced = {
      ...{ file_name: "ct-chest.dcm", file_type: "application/dicom" },
      ...{ file_size: scan.length, file_sha256: await sha256(scan) },
    };
    const wrong = await this.#sendOther(client, recordId, announced, SAMPLES["application/pdf"]);
    told.refused("a file that is not the announced one", wrong, "422 file_mismatch");
    told.did("uploadRecordFile(supabase, recordId, file), of clients/records.ts");
    const file = new File([scan], announced.file_name, { type: announced.file_type });
    const taken = await uploadRecordFile(client, recordId, file);
    told.expect(
      `the scan, ${scan.length} bytes of DICOM, is encrypted here, checked and taken over`,
      taken.file_sha256 === announced.file_sha256,
    );
    const { data: sealed } = await callRecords<{ url: string }>(client, `${recordId}/download-url`);
    const stored = new TextDecoder("latin1").decode(await (await fetch(sealed?.url ?? "")).bytes());
    told.expect(
      "what lies in Storage begins with BLF1 and names nobody",
      stored.startsWith("BLF1") && !stored.includes("Rao^Ananya"),
    );

    const other = await granted(
      client.from("medical_records").select("id").neq("id", recordId)
        .order("record_date", { ascending: false }).order("id").limit(1).single(),
    );
    const target = {
      ...{ patientId: id, patientClient: client, sharedId: recordId, otherId: other.id, total },
    };
    const everything = { listed: total, shared: true, other: true, file: true };
    await this.#look("the patient", { id, client }, everything, target);
    return target;
  }

  async patientWritesWhatIsEncrypted({ client, id, name }: Person, target: Target): Promise<void> {
    const told = this.#told;
    told.chapter(`${name} writes a phone number and what the scan says, which are kept encrypted`);
    told.did('invoke("identity/patient", { method: "PATCH", body: { phone } })');
    told.allowed(
      "the number is taken",
      await callFunction(client, "PATCH", "identity/patient", { phone: PHONE }),
    );
    told.did('invoke("records/<id>/description", { method: "PUT", body: { description } })');
    const path = `records/${target.sharedId}/description`;
    told.allowed(
      "so is the text",
      await callFunction(client, "PUT", path, { description: FINDING }),
    );
    const { phone } = await granted(client.from("patients").select("phone").eq("id", id).single());
    told.expect(`the database has ${phone?.slice(0, 20)}…`, phone?.startsWith("v1.") === true);
    const past = await outcome(client.from("patients").update({ phone: PHONE }).eq("id", id));
    told.refused("writing the column past the function", past, "403 42501");
  }

  /** Announces one file and uploads another, step by step as the client module does it. */
  async #sendOther(
    client: Client,
    recordId: string,
    announced: object,
    bytes: Uint8Array<ArrayBuffer>,
  ): Promise<Outcome<unknown>> {
    const told = this.#told;
    told.did('invoke("records/<id>/upload-url", { body: { file_name, file_type, … } })');
    const { data: address, refusal } = await callRecords<
      { path: string; token: string; encryption: { key: string } }
    >(client, `${recordId}/upload-url`, announced);
    if (!address) throw new Error(`No address for the upload: ${refusal}`);
    told.tell("the answer has a key for this file alone: what goes up is encrypted with it");
    const key = await importKey(Uint8Array.fromBase64(address.encryption.key));
    const sealed = await new Response(
      new Blob([bytes]).stream().pipeThrough(encryptStream(key, recordId)),
    ).bytes();
    told.did(`supabase.storage.from("${BUCKET}").uploadToSignedUrl(path, token, sealed)`);
    const { error } = await client.storage.from(BUCKET)
      .uploadToSignedUrl(
        address.path,
        address.token,
        new Blob([sealed], { type: "application/octet-stream" }),
      );
    if (error) throw error;
    told.did('invoke("records/<id>/complete", { body: { ciphertext_sha256 } })');
    const ciphertext_sha256 = await sha256(sealed);
    return await callRecords(client, `${recordId}/complete`, { ciphertext_sha256 });
  }

  async relativeSeesOneRecord({ client, name }: Person, target: Target): Promise<void> {
    const told = this.#told;
    const relative = await signUp(this.#stack, "Vikram", "caregiver");
    told.chapter(`${name} shares the scan with Vikram, a relative, for a week`);
    told.did('supabase.rpc("share_medical_record", { p_record_id, p_shared_with_id, … })');
    const shared = await outcome(client.rpc("share_medical_record", {
      ...{ p_record_id: target.sharedId, p_shared_with_id: relative.id },
      ...{ p_access_level: "download", p_expires_at: daysFromNow(7) },
    }));
    told.allowed("it is shared, at level download", shared);
    const twice = await outcome(client.rpc("share_medical_record", {
      ...{ p_record_id: target.sharedId, p_shared_with_id: relative.id },
      ...{ p_access_level: "view", p_expires_at: daysFromNow(1) },
    }));
    told.refused("sharing it with him twice", twice, "409 already_shared");
    told.did('Vikram: supabase.from("medical_records").select("title")');
    const list = await granted(relative.client.from("medical_records").select("title"));
    told.expect(`he lists: ${list.map(({ title }) => title).join(", ")}`, list.length === 1);
    const contents = await granted(relative.client.from("medical_record_contents").select("*"));
    told.expect("what it says is not shown to him before he opens it", contents.length === 0);
    told.did('Vikram: supabase.rpc("open_medical_record", { p_record_id })');
    const { sharedId: p_record_id } = target;
    const opened = await outcome(relative.client.rpc("open_medical_record", { p_record_id }));
    told.allowed("he opens it by a call that writes to the patient's access log", opened);
    told.did('Vikram: supabase.from("medical_record_contents").select().eq("record_id", …)');
    const read = await granted(
      relative.client.from("medical_record_contents").select().eq("record_id", p_record_id),
    );
    told.expect("from then on he reads it, for an hour", read.length === 1);
    told.did('Vikram: invoke("records/descriptions/read", { body: { record_ids } })');
    const text = await callRecords<{ description: string }[]>(
      relative.client,
      "descriptions/read",
      { record_ids: [p_record_id] },
    );
    told.expect(`it says: ${text.data?.[0]?.description}`, text.data?.[0]?.description === FINDING);
    const other = await outcome(
      relative.client.rpc("open_medical_record", { p_record_id: target.otherId }),
    );
    told.refused("opening another of the patient's records", other, "404 not_found");
    const seen = { listed: 1, shared: true, other: false, file: true };
    await this.#look("Vikram, share for download", relative, seen, target);
  }

  async shareExpires({ client, name }: Person, target: Target): Promise<void> {
    const told = this.#told;
    const aunt = await signUp(this.#stack, "Leela", "caregiver");
    // Long enough for what comes before the end, also where others use the machine.
    const seconds = 10;
    told.chapter(`${name} shares it with Leela, too, for viewing, and for ${seconds} seconds only`);
    const expires = Date.now() + seconds * 1000;
    const shared = await outcome(client.rpc("share_medical_record", {
      ...{ p_record_id: target.sharedId, p_shared_with_id: aunt.id, p_access_level: "view" },
      p_expires_at: new Date(expires).toISOString(),
    }));
    told.allowed("it is shared", shared);
    const seen = { listed: 1, shared: true, other: false, file: false };
    await this.#look("Leela, share for viewing", aunt, seen, target);
    const file = await callRecords(aunt.client, `${target.sharedId}/download-url`);
    told.refused("fetching its file by a share for viewing", file, "403 forbidden");
    told.tell("… the time passes; nobody ends the share, and no job runs …");
    const open = () =>
      outcome(aunt.client.rpc("open_medical_record", { p_record_id: target.sharedId }));
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, expires - Date.now())));
    // The database's clock decides, which may be a little behind ours.
    for (let late = 0; late < 50 && !(await open()).refusal; late++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    told.refused("opening it after that", await open(), "404 not_found");
    await this.#look("Leela, after it expired", aunt, NOTHING, target);
  }

  async doctorIsVerified(target: Target): Promise<{ doctor: Person; admin: Person }> {
    const told = this.#told;
    const doctor = await signUp(this.#stack, "Dr Meera Iyer");
    told.chapter("Dr Meera Iyer registers, and an administrator verifies her");
    told.did('supabase.rpc("request_doctor_verification", { p_license_number, … })');
    const requested = await outcome(doctor.client.rpc("request_doctor_verification", {
      ...{ p_license_number: "KMC 48213", p_specialty: "Medical oncology" },
    }));
    told.allowed("she asks to be verified", requested);
    const early = await this.#openChart(doctor, target);
    told.refused("opening a chart before she is verified", early, "403 not_verified");
    await this.#look("doctor, not verified", doctor, NOTHING, target);

    const admin = await signUp(this.#stack, "Nadia");
    await makeAdministrator(this.#stack, admin);
    told.tell("Nadia is made an administrator in the database: no request can do that");
    const verify = () =>
      outcome(admin.client.rpc("verify_doctor", { p_user_id: doctor.id, p_approve: true }));
    told.refused("verifying with a password alone", await verify(), "403 forbidden");
    told.did("Nadia: supabase.auth.mfa.enroll(…), then mfa.challengeAndVerify({ factorId, code })");
    await useSecondFactor(admin);
    told.did('Nadia: supabase.rpc("verify_doctor", { p_user_id, p_approve: true })');
    told.allowed("with a second factor she verifies the doctor", await verify());
    return { doctor, admin };
  }

  async patientAcceptsDoctor(patient: Person, doctor: Person, target: Target): Promise<void> {
    const told = this.#told;
    told.chapter(`The doctor asks to care for ${patient.name}, who accepts`);
    const uninvited = await this.#openChart(doctor, target);
    told.refused("opening the chart with one factor", uninvited, "403 mfa_required");
    await useSecondFactor(doctor);
    told.tell("the doctor adds an authenticator app and signs in with its code");
    const early = await this.#openChart(doctor, target);
    told.refused("opening the chart of a patient not in her care", early, "404 not_found");
    told.did('doctor: supabase.rpc("request_care", { p_member_or_patient_id, p_kind: "doctor" })');
    const asking = doctor.client.rpc("request_care", {
      ...{ p_member_or_patient_id: patient.id, p_kind: "doctor" },
    });
    const p_id = String(await granted(asking));
    const asked = await this.#openChart(doctor, target);
    told.refused("opening the chart while the request waits", asked, "404 not_found");
    told.did('patient: supabase.rpc("respond_care_request", { p_id, p_accept: true })');
    const accepted = await outcome(
      patient.client.rpc("respond_care_request", { p_id, p_accept: true }),
    );
    told.allowed("the care is active", accepted);
    await this.#look("doctor in care, chart closed", doctor, NOTHING, target);
  }

  async doctorReads(doctor: Person, target: Target): Promise<void> {
    const told = this.#told;
    told.chapter("The doctor opens the chart and reads");
    told.did('supabase.rpc("open_chart", { p_patient_id, p_purpose: "treatment" })');
    told.allowed("the chart is open for 60 minutes", await this.#openChart(doctor, target));
    const { data: records, count } = await doctor.client.from("medical_records")
      .select("id, medical_record_contents(fhir)", { count: "exact" })
      .eq("patient_id", target.patientId).limit(100);
    told.expect(
      `she reads ${count} records, with their contents`,
      count === target.total &&
        !!records?.every(({ medical_record_contents }) => medical_record_contents !== null),
    );
    const [registry] = await granted(
      doctor.client.from("patients").select("date_of_birth").eq("id", target.patientId),
    );
    told.expect(`the registry says: born on ${registry?.date_of_birth}`, registry !== undefined);
    told.did('invoke("identity/patients/read", { body: { patient_ids } })');
    const contact = await callFunction<{ phone: string }[]>(
      doctor.client,
      "POST",
      "identity/patients/read",
      { patient_ids: [target.patientId] },
    );
    told.expect(`the phone is ${contact.data?.[0]?.phone}`, contact.data?.[0]?.phone === PHONE);
    const everything = { listed: target.total, shared: true, other: true, file: true };
    await this.#look("doctor, chart open", doctor, everything, target);
    const single = await signInAgain(this.#stack, doctor);
    await this.#look("the same, signed in with one factor", single, NOTHING, target);
  }

  async strangerSeesNothing(target: Target): Promise<void> {
    const told = this.#told;
    const stranger = await signUp(this.#stack, "Sam");
    told.chapter("A stranger, who knows every id, tries");
    const { client } = stranger;
    const list = await granted(
      client.from("medical_records").select("*").eq("patient_id", target.patientId),
    );
    told.expect(`his list has ${list.length} records`, list.length === 0);
    const found = await callFunction<object[]>(client, "POST", "identity/patients/search", {
      phone: PHONE,
    });
    told.expect("searching for the patient's number finds nobody", found.data?.length === 0);
    const opened = await outcome(
      client.rpc("open_medical_record", { p_record_id: target.sharedId }),
    );
    told.refused("opening a record", opened, "404 not_found");
    const absent = await outcome(
      client.rpc("open_medical_record", { p_record_id: crypto.randomUUID() }),
    );
    told.expect(
      "an id that nobody has is answered alike, so he learns of no record that it exists",
      JSON.stringify(absent) === JSON.stringify(opened),
    );
    await this.#look("a stranger", stranger, NOTHING, target);
  }

  async patientReadsLog({ client, id, name }: Person, { sharedId }: Target): Promise<void> {
    const told = this.#told;
    told.chapter(`${name} reads who looked at what, and why`);
    told.did('supabase.rpc("my_access_log", { p_limit: 50 })');
    const log = await granted(client.rpc("my_access_log", { p_limit: 50 }));
    for (const row of log) {
      const { occurred_at, actor_name, purpose, summary, resource_id } = row;
      const what = resource_id === sharedId ? `${summary} (the CT)` : summary;
      told.tell(
        `${occurred_at.slice(11, 19)}  ${actor_name.padEnd(14)} ${
          (purpose ?? "–").padEnd(10)
        } ${what}`,
      );
    }
    const says = (name: string, purpose: string, summary: string) =>
      log.some((row) =>
        row.actor_name === name && row.purpose === purpose && row.summary === summary
      );
    told.expect("Vikram's reading is there", says("Vikram", "share", "Read a record"));
    told.expect(
      "so is the opening of the chart, with its purpose",
      says("Dr Meera Iyer", "treatment", "Opened your chart"),
    );
    const tried = log.filter((row) => row.actor_name === "Sam");
    told.expect(
      "so is each attempt of the stranger, as refused",
      tried.length > 0 && tried.every(({ outcome }) => outcome === "refused"),
    );
    told.expect(
      "and the reading of the phone number",
      says("Dr Meera Iyer", "treatment", "Read your contact details"),
    );
    told.did('supabase.rpc("who_can_see", { p_patient_id })');
    const viewers = await granted(client.rpc("who_can_see", { p_patient_id: id }));
    for (const row of viewers) told.tell(`${row.viewer_name.padEnd(14)} ${row.explanation}`);
    told.expect(
      "those who may see something now are the doctor and Vikram",
      [...new Set(viewers.map((row) => row.viewer_name))].sort().join() === "Dr Meera Iyer,Vikram",
    );
  }

  async doctorLeaves(doctor: Person, target: Target): Promise<void> {
    const told = this.#told;
    told.chapter("The doctor closes the chart");
    const open = await granted(
      doctor.client.from("chart_sessions").select("id").is("closed_at", null).single(),
    );
    told.did('supabase.rpc("close_chart", { p_id })');
    const closed = await outcome(doctor.client.rpc("close_chart", { p_id: open.id }));
    told.allowed("it is closed", closed);
    await this.#look("doctor, chart closed again", doctor, NOTHING, target);
  }

  async emergency(patient: Person, admin: Person, target: Target): Promise<void> {
    const told = this.#told;
    const row = await tellEmergency({ stack: this.#stack, told, admin, patient, target });
    this.#keep(row);
  }

  printTable(total: number): void {
    this.#input.print("\nWho could see what\n");
    const cells = this.#rows.map((row) => toCells(row, total));
    for (const line of tableLines(HEAD, cells)) this.#input.print(`  ${line}`);
    this.#input.print("");
    for (const line of RULES) this.#input.print(`  ${line}`);
  }

  #openChart({ client }: Person, { patientId: p_patient_id }: Target) {
    return outcome(client.rpc("open_chart", { p_patient_id, p_purpose: "treatment" }));
  }

  async #look(
    who: string,
    person: Pick<Person, "id" | "client">,
    expected: AccessRow["expected"],
    target: Target,
  ): Promise<void> {
    this.#keep(await look(who, person, expected, target));
  }

  #keep(row: AccessRow): void {
    this.#rows.push(row);
    const { listed, shared, other, file } = row.access;
    const all = listed > 0 && shared && other && file;
    const none = listed === 0 && !shared && !other && !file;
    const seen = all ? "everything" : none ? "nothing" : "what is shared, and no more";
    this.#told.expect(`to the table: ${row.who} sees ${seen}`, isAsExpected(row));
  }
}

function daysFromNow(days: number): string {
  return new Date(Date.now() + days * DAY_MS).toISOString();
}
