// Plaintext of encrypted fields is nowhere on disk: words that no other text has are written through
// every way in, then every file of the stack is read byte by byte: tables, indexes, the write-ahead
// log, stored files, server logs, and what the functions print.

import { assert, assertEquals } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import { join } from "@std/path";
import { loadKeys } from "../../supabase/local/keys.ts";
import { bundleOf, condition, patient as fhirPatient } from "../functions/bundles.ts";
import { testEnv } from "../support/env.ts";
import { must } from "../support/people.ts";
import { Site, type StackProcess } from "../support/stack_process.ts";

/** What is encrypted; each has digits or letters that occur nowhere by chance. */
const CANARIES = {
  phone: "+91 90817 263540",
  address: "Kanarienvogelweg 7391",
  insurance_policy_number: "KANARIE-55081-Q",
  emergency_contact_phone: "+91 91827 364501",
  description: "Kanarienbefund mit Rand",
  imported_phone: "+91 92738 465011",
  imported_address: "Importkanarienstieg 12",
};
/** Written beside them in columns that are not encrypted: whatever looks for the others finds it. */
const CONTROL = "Kanarienkontrollstadt";

/**
 * The ways in which a text may lie in a file, byte for byte a letter: as it is, in UTF-16, without
 * punctuation, in hexadecimal and in base64.
 */
function formsOf(text: string): string[] {
  const bytes = new TextEncoder().encode(text);
  // Base64 of a text depends on where in a group of three it begins; the letters at both ends also
  // hold bits of its neighbours, and are left out.
  const base64 = [0, 1, 2].map((before) => {
    const padded = new Uint8Array(before + bytes.length);
    padded.set(bytes, before);
    const letters = padded.toBase64({ omitPadding: true });
    return letters.slice(before === 0 ? 0 : before + 1, -1);
  });
  const utf16 = [...text].map((letter) => `${letter}\0`).join("");
  return [text, utf16, text.replace(/[^A-Za-z0-9]/g, ""), bytes.toHex(), ...base64];
}

/** Files below a folder, each byte a letter: a search in a text is much faster than one in bytes. */
async function* filesIn(folder: string): AsyncGenerator<{ path: string; content: string }> {
  const latin1 = new TextDecoder("latin1");
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) yield* filesIn(path);
    if (isFile) yield { path, content: latin1.decode(await Deno.readFile(path)) };
  }
}

/** Signs somebody up at the site, and gives ways to call its functions. */
async function patientAt(site: Site) {
  const { publishable } = await loadKeys(site.dataDir);
  const url = `http://127.0.0.1:${site.apiPort}`;
  const client = createClient(url, publishable, {
    auth: { autoRefreshToken: false, persistSession: false },
  });
  const { data, error } = await client.auth.signUp({
    email: "canary@example.org",
    password: "correct horse battery",
  });
  if (error || !data.session) throw error ?? new Error("There is no session");
  const call = async (method: string, path: string, body: unknown) => {
    const response = await fetch(`${url}/functions/v1/${path}`, {
      method,
      headers: {
        apikey: publishable,
        authorization: `Bearer ${data.session!.access_token}`,
        "content-type": "application/json",
      },
      body: JSON.stringify(body),
    });
    return { status: response.status, text: await response.text() };
  };
  return { client, id: data.session.user.id, call };
}

/** Writes every canary through the function that takes it, and reads all of them back. */
async function plant(site: Site): Promise<void> {
  const { client, id, call } = await patientAt(site);
  const { phone, address, description, imported_phone, imported_address, ...others } = CANARIES;
  const ask = async (method: string, path: string, body: unknown) => {
    const { status, text } = await call(method, path, body);
    assertEquals(status, 200, `${path}: ${text}`);
    return text;
  };
  await must(client.from("patients").update({ city: CONTROL }).eq("id", id));
  // The import first: it fills what is empty. What then replaces it leaves dead rows behind.
  await ask(
    "POST",
    "records/import",
    bundleOf(
      fhirPatient({
        telecom: [{ system: "phone", value: imported_phone }],
        address: [{ line: [imported_address] }],
      }),
      condition(),
    ),
  );
  const imported = await ask("POST", "identity/patients/read", { patient_ids: [id] });
  assert(imported.includes(imported_phone) && imported.includes(imported_address));

  await ask("PATCH", "identity/patient", { phone, address, ...others });
  const { data: record } = await client.from("medical_records")
    .insert({ patient_id: id, title: "Scan", record_type: "imaging" }).select("id").single();
  await ask("PUT", `records/${record!.id}/description`, { description });
  const read = await ask("POST", "identity/patients/read", { patient_ids: [id] }) +
    await ask("POST", "records/descriptions/read", { record_ids: [record!.id] });
  for (const text of [phone, address, description, ...Object.values(others)]) {
    assert(read.includes(text), `${text} is not read back`);
  }
  await ask("POST", "identity/patients/search", { phone });
  const { insurance_policy_number } = others;
  await ask("POST", "identity/patients/search", { insurance_policy_number });

  // Requests that fail, with plaintext in them.
  const failing: [method: string, path: string, body: unknown][] = [
    ["PATCH", "identity/patient", { phone: `${phone}!`, address }],
    ["PATCH", "identity/patient", { address, unknown: description }],
    ["PUT", `records/${crypto.randomUUID()}/description`, { description }],
  ];
  for (const request of failing) assert((await call(...request)).status >= 400);
  // Past the functions: the data API refuses the columns.
  assert((await client.from("patients").update({ phone }).eq("id", id)).error);
  assert(
    (await client.from("medical_record_contents").insert({
      ...{ record_id: record!.id, description },
    })).error,
  );
  // Emptied, so that only dead rows and the write-ahead log hold what there was.
  await ask("PATCH", "identity/patient", { address: null });
}

/** Stops the stack cleanly, so that every page has been written; answers all that it has printed. */
async function stop(site: Site, stack: StackProcess): Promise<string> {
  assertEquals((await site.run("stop")).code, 0);
  return (await stack.ended).text;
}

Deno.test({
  name: "plaintext of encrypted fields is in no file of the stack and in no line of its logs " +
    "(embedded stack of its own)",
  ignore: !testEnv().adminUrl,
  fn: () =>
    Site.usePrepared(async (site) => {
      const stack = site.start({ LOG_LEVEL: "info" });
      await stack.ready();
      await plant(site);
      const printed = await stop(site, stack);

      const forms = Object.entries(CANARIES).flatMap(([name, text]) =>
        formsOf(text).map((form) => ({ name, form }))
      );
      const found: string[] = [];
      const controlled: string[] = [];
      let total = 0;
      for await (const { path, content } of filesIn(site.folder)) {
        total += content.length;
        for (const { name, form } of forms) {
          if (content.includes(form)) found.push(`${name}: ${path}`);
        }
        if (content.includes(CONTROL)) controlled.push(path.slice(site.folder.length));
      }
      assertEquals(found, []);
      // The scan reads what it must, or the line above would say nothing.
      assert(total > 30_000_000, `${total} bytes were read`);
      assert(controlled.some((path) => path.includes("/base/")), "a column of a table is found");
      assert(controlled.some((path) => path.includes("/pg_wal/")), "so is the write-ahead log");
      assert(printed.includes('"route":"/identity/patient"'));
      const said = forms.filter(({ form }) => printed.includes(form));
      assertEquals(said.map(({ name }) => name), []);
    }),
});

Deno.test("the scan finds a text in each of the forms that it looks for", () => {
  const text = CANARIES.address;
  const shapes = [
    text,
    text.replaceAll(" ", ""),
    new TextEncoder().encode(text).toHex(),
    ...["", "x", "xy"].map((before) => btoa(`${before}${text} and more`)),
  ];
  for (const shape of shapes) {
    assert(formsOf(text).some((form) => `before ${shape} after`.includes(form)), shape);
  }
  assert(!formsOf(text).some((form) => "before Kanarienvogelweg 7392 after".includes(form)));
});
