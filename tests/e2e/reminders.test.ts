// A reminder from its rule to its answer, through supabase-js: planned, told, completed from two
// devices, counted.

import { assert, assertEquals } from "@std/assert";
import { databaseTest, must, newAdmin, newPatient } from "../support/people.ts";
import { present } from "../support/auth.ts";
import { newClient } from "../support/env.ts";
import { until } from "../support/stack_process.ts";

/** A wall-clock time in UTC, some seconds from now. */
function inSeconds(seconds: number): string {
  return new Date(Date.now() + seconds * 1000).toISOString().slice(0, 19);
}

databaseTest(
  "a reminder is planned, told once, completed from any device, and counted",
  async () => {
    const [patient, admin] = await Promise.all([newPatient(), newAdmin()]);
    const { client } = patient;
    const medicine = await must(
      client.from("medications").insert({ user_id: patient.id, name: "Tamoxifen", stock: 10 })
        .select("id").single(),
    );
    const made = await must(client.functions.invoke("reminders", {
      body: {
        title: "Tamoxifen",
        reminder_type: "medication",
        rrule: "FREQ=DAILY",
        starts_at_local: inSeconds(2),
        timezone: "UTC",
        medication_id: medicine.id,
      },
    }));
    assertEquals(made.data.occurrences.length, 16);
    const coming = await must(client.rpc("upcoming_reminders", { p_hours: 1 }));
    assertEquals(
      coming.map(({ status, days_left }: Record<string, unknown>) => [status, days_left]),
      [
        ["upcoming", 10],
      ],
    );

    const logs = () => must(client.from("reminder_logs").select("id, status, due_at"));
    // The queue ticks once a minute by itself, too; ticks may meet.
    await until(async () => {
      await Promise.all(
        [1, 2].map(() => admin.client.functions.invoke("reminders/tick", { body: {} })),
      );
      return (await logs()).length > 0;
    });
    const [log, ...others] = await logs();
    assertEquals([log!.status, others], ["sent", []]);
    assertEquals(Date.parse(log!.due_at), Date.parse(made.data.occurrences[0].due_at));
    const told = await must(
      client.from("notifications").select("kind, data").eq("kind", "reminder_due"),
    );
    assertEquals(told, [{
      kind: "reminder_due",
      data: { reminder_id: made.data.id, log_id: log!.id },
    }]);

    const phone = newClient();
    const { data: { session } } = await client.auth.getSession();
    await phone.auth.setSession(present(session));
    const answers = await Promise.all(
      [client, phone, client].map((device) =>
        must(device.rpc("complete_reminder", { p_log_id: log!.id }))
      ),
    );
    assertEquals(new Set(answers).size, 1);
    const { stock } = await must(
      client.from("medications").select("stock").eq("id", medicine.id).single(),
    );
    assertEquals(stock, 9);
    const day = new Date(Date.parse(log!.due_at));
    const date = (add: number) =>
      new Date(day.getTime() + add * 86_400_000).toISOString().slice(0, 10);
    const [kept] = await must(client.rpc("adherence", { p_from: date(0), p_to: date(1) }));
    assertEquals([kept.taken, kept.late, kept.missed], [1, 0, 0]);
  },
);

databaseTest("a plan made by RPC alone is due once a tick has worked it out", async () => {
  const [patient, admin] = await Promise.all([newPatient(), newAdmin()]);
  const id = await must(patient.client.rpc("create_reminder", {
    p_title: "Water",
    p_reminder_type: "hydration",
    p_rrule: "FREQ=HOURLY;INTERVAL=2",
    p_starts_at_local: "2026-01-01T08:00:00",
    p_timezone: "Asia/Kolkata",
  }));
  const read = () =>
    must(patient.client.from("reminders").select("next_due_at, is_active").eq("id", id).single());
  await until(async () => {
    await admin.client.functions.invoke("reminders/tick", { body: {} });
    return (await read()).next_due_at !== null;
  });
  const { next_due_at } = await read();
  // Even hours in a zone of half hours.
  assert(/T(\d[02468]|\d\d):30:00/.test(next_due_at) && Date.parse(next_due_at) > Date.now());

  const { error } = await patient.client.from("reminders").delete().eq("id", id);
  assertEquals(error, null);
});
