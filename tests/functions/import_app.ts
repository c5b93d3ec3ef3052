// An app for tests of the import: its database answers `imported` to every row, and shows what it got.

import { createApp } from "../../functions/records/routes.ts";
import type { Fhir } from "./bundles.ts";
import { FieldStore } from "./field_store.ts";
import { type Answer, CALLER_ID, fakeDeps, post, type Subject } from "./support.ts";

/** An app whose database answers `imported` for every row that it is sent. */
export function importApp(answers: Record<string, Answer> = {}): Subject & { sent: () => Fhir[] } {
  const store = new FieldStore(CALLER_ID);
  const deps = fakeDeps({
    import_records: ([, , , rows]) =>
      JSON.parse(String(rows)).map(({ source_id }: Fhir) => ({ source_id, outcome: "imported" })),
    "from public.patients": [{ is_filled: true }],
    ...store.answers,
    ...answers,
  });
  const sent = () =>
    deps.sql.statements.filter(({ text }) => text.includes("import_records"))
      .flatMap(({ values }) => JSON.parse(String(values[3])));
  return { app: createApp(deps), deps, sent };
}

/** Sends a bundle. */
export const importOf = (subject: Subject, bundle: Fhir | string, query = "") =>
  post(subject, `/records/import${query}`, bundle);
