// The chapter of the emergency: a doctor who does not know the patient opens the chart, everybody who
// has to know is told, an administrator reviews it, and the patient objects.

import { type AccessRow, look, type Target } from "./access.ts";
import type { Narrator } from "./narrator.ts";
import { granted, outcome } from "./outcome.ts";
import { type Person, signUp, useSecondFactor } from "./people.ts";
import type { RunningStack } from "./stack.ts";

const REASON = "Brought in unconscious, no relative at hand";

/** Who is in it. */
interface Cast {
  stack: RunningStack;
  told: Narrator;
  /** At `aal2`. */
  admin: Person;
  patient: Person;
  target: Target;
}

/** Tells the chapter; answers what the doctor had access to. */
export async function tellEmergency(cast: Cast): Promise<AccessRow> {
  const { told, admin, patient, target } = cast;
  const doctor = await verifiedDoctor(cast);
  const breakGlass = (p_reason: string) =>
    outcome(doctor.client.rpc("break_glass", { p_patient_id: patient.id, p_reason }));

  told.chapter(`${patient.name} is brought in unconscious, and ${doctor.name} opens the chart`);
  told.did('supabase.rpc("break_glass", { p_patient_id, p_reason })');
  told.refused("without a reason that says something", await breakGlass("Urgent"), BAD);
  const opened = await breakGlass(REASON);
  told.allowed("with one, the chart is open for 30 minutes, without a relationship", opened);
  const p_id = opened.data?.id ?? "";
  const everything = { listed: target.total, shared: true, other: true, file: true };
  const row = await look("doctor in an emergency", doctor, everything, target);

  told.expect("the patient is told at once", await isTold(patient, p_id, "emergency_access"));
  told.expect("so is the administrator", await isTold(admin, p_id, "emergency_review_due"));
  told.refused("the doctor's next emergency", await breakGlass(REASON), "409 review_pending");
  told.did(`${admin.name}: supabase.rpc("review_emergency_access", { p_id, p_outcome, p_note })`);
  const reviewed = await outcome(admin.client.rpc("review_emergency_access", {
    ...{ p_id, p_outcome: "justified", p_note: "The ward confirms it" },
  }));
  told.allowed("the administrator reviews it", reviewed);
  told.did('supabase.rpc("object_to_emergency_access", { p_id, p_note })');
  const objected = await outcome(patient.client.rpc("object_to_emergency_access", {
    ...{ p_id, p_note: "My sister was there, and could have been asked" },
  }));
  told.allowed(`${patient.name} objects all the same, which is put on record`, objected);
  const log = await granted(patient.client.rpc("my_access_log", { p_limit: 50 }));
  const entry = log.find(({ action }) => action === "break_glass");
  told.expect(
    `the patient's log says: ${entry?.actor_name}: ${entry?.summary} (${entry?.reason})`,
    entry?.is_emergency === true,
  );
  const closed = await outcome(doctor.client.rpc("close_chart", { p_id }));
  told.allowed("the doctor closes the chart", closed);
  return row;
}

const BAD = "400 invalid_request";

async function verifiedDoctor({ stack, admin }: Cast): Promise<Person> {
  const doctor = await signUp(stack, "Dr Arjun Nair");
  const asked = await outcome(doctor.client.rpc("request_doctor_verification", {
    ...{ p_license_number: "KMC 77120", p_specialty: "Emergency medicine" },
  }));
  const verified = await outcome(
    admin.client.rpc("verify_doctor", { p_user_id: doctor.id, p_approve: true }),
  );
  const refusal = asked.refusal ?? verified.refusal;
  if (refusal) throw new Error(`The story cannot go on: the doctor is not verified: ${refusal}`);
  await useSecondFactor(doctor);
  return doctor;
}

async function isTold({ client }: Person, chartId: string, kind: string): Promise<boolean> {
  const rows = await granted(
    client.from("notifications").select("id").eq("kind", kind).eq("data->>chart_id", chartId),
  );
  return rows.length === 1;
}
