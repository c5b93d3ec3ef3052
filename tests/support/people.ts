// People of the stories: patients, caregivers, doctors whom an administrator has verified, and
// administrators, each with an account and a session of their own. No request can make an
// administrator, so these are made as a database administrator makes one: by SQL, as `postgres`.

import type { SupabaseClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { newPerson, type Person, present, totpCode } from "./auth.ts";
import { testEnv } from "./env.ts";

/** Whether this stack lets tests into the database; says so once when it does not. */
export const hasDatabase = testEnv().dbUrl !== undefined;
if (!hasDatabase) {
  console.warn("Tests that need an administrator are skipped: SUPABASE_DB_URL is not set");
}

/** Registers a test that reaches the database as `postgres`. */
export function databaseTest(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  Deno.test({ name, ignore: !hasDatabase, fn });
}

/** Runs `work` as the role `postgres`. */
export async function withDatabase<T>(work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(present(testEnv().dbUrl), { max: 1, onnotice: () => {} });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

/** The answer of a request that must succeed. */
export async function must<T>(
  request: PromiseLike<{ data: T; error: Error | null }>,
): Promise<NonNullable<T>> {
  const { data, error } = await request;
  if (error) throw error;
  return data as NonNullable<T>;
}

/** Somebody who signs up as a patient. */
export function newPatient(display_name = "Asha Patient"): Promise<Person> {
  return newPerson({ display_name });
}

/** Somebody who signs up as a caregiver. */
export function newCaregiver(display_name = "Ravi Caregiver"): Promise<Person> {
  return newPerson({ display_name, role: "caregiver" });
}

/** Adds an authenticator app to an account and raises the session to `aal2` with it. */
export async function raiseToAal2(client: SupabaseClient): Promise<{ secret: string }> {
  const { data, error } = await client.auth.mfa.enroll({ factorType: "totp" });
  if (error) throw error;
  const { error: refused } = await client.auth.mfa.challengeAndVerify({
    factorId: data.id,
    code: totpCode(data.totp.secret),
  });
  if (refused) throw refused;
  return { secret: data.totp.secret };
}

/** An administrator at `aal2`. */
export async function newAdmin(): Promise<Person> {
  const admin = await newPerson({ display_name: "Admin" });
  await withDatabase((sql) =>
    sql`update public.profiles set role = 'admin' where id = ${admin.id}`
  );
  await raiseToAal2(admin.client);
  return admin;
}

let admin: Promise<Person> | undefined;

/** The administrator whom all tests of a file share. */
export function theAdmin(): Promise<Person> {
  return admin ??= newAdmin();
}

/** Somebody who has asked to be verified as a clinician; at `aal1`. */
export async function newApplicant(display_name = "Dr Meera Iyer"): Promise<Person> {
  const doctor = await newPerson({ display_name });
  await must(doctor.client.rpc("request_doctor_verification", {
    p_license_number: "KMC 48213",
    p_specialty: "Medical oncology",
    p_organization: "City Cancer Hospital",
  }));
  return doctor;
}

/** A verified doctor, at `aal2` unless `aal` says otherwise. */
export async function newDoctor(
  display_name = "Dr Meera Iyer",
  aal: "aal1" | "aal2" = "aal2",
): Promise<Person> {
  const doctor = await newApplicant(display_name);
  const { client } = await theAdmin();
  await must(client.rpc("verify_doctor", { p_user_id: doctor.id, p_approve: true }));
  if (aal === "aal2") await raiseToAal2(doctor.client);
  return doctor;
}

/** The doctor asks for care of the patient, who accepts; answers the relationship's id. */
export async function startCare(doctor: Person, patient: Person): Promise<string> {
  const id = await must(doctor.client.rpc("request_care", {
    p_member_or_patient_id: patient.id,
    p_kind: "doctor",
  }));
  await must(patient.client.rpc("respond_care_request", { p_id: id, p_accept: true }));
  return id;
}

/** Opens the patient's chart for treatment; answers the chart's id. */
export async function openChart(doctor: Person, patient: Person): Promise<string> {
  const chart = await must(doctor.client.rpc("open_chart", {
    p_patient_id: patient.id,
    p_purpose: "treatment",
  }));
  return chart.id;
}
