// An app for tests of the export: a database in memory that gives pages of a cursor and contents.

import { createApp } from "../../functions/records/routes.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import type { StoredKey } from "../../functions/_shared/fields.ts";
import type { Fhir } from "./bundles.ts";
import { type Answer, CALLER_ID, fakeDeps, NOW_MS, sign, type Subject } from "./support.ts";

/** A record as the cursor gives it. */
export function cursorRow(changes: Fhir = {}): Fhir {
  return {
    id: crypto.randomUUID(),
    title: "CT of the chest",
    record_type: "imaging",
    record_date: "2026-01-31",
    source_system: null,
    source_id: null,
    source_url: null,
    sensitivity: "normal",
    file_name: null,
    file_type: null,
    file_size: null,
    file_sha256: null,
    created_at: new Date(NOW_MS),
    id_copy: 1,
    url_copy: 1,
    size: 100,
    ...changes,
  };
}

/** A record that was imported, with its stored resource as PostgreSQL writes it. */
export function imported(fhir: string, changes: Fhir = {}): { row: Fhir; contents: Fhir } {
  const { resourceType, id } = JSON.parse(fhir);
  const row = cursorRow({
    source_system: "https://h.example",
    source_id: `${resourceType}/${id}`,
    size: fhir.length,
    ...changes,
  });
  const contents = { record_id: row.id, description: null, fhir, subject_reference: null };
  return { row, contents };
}

/** What the database holds. */
export interface History {
  registry?: Fhir | null;
  grounds?: string;
  identifiers?: Fhir[];
  rows?: Fhir[];
  contents?: Fhir[];
  /** The patient's wrapped keys. */
  keys?: StoredKey[];
}

const EMPTY_REGISTRY = {
  first_name: null,
  last_name: null,
  date_of_birth: null,
  gender: null,
  city: null,
  state: null,
  postal_code: null,
  country: null,
  phone: null,
  address: null,
};

/** An app over a history; `answers` replace its own. */
export function exportApp(
  history: History = {},
  answers: Record<string, Answer> = {},
  changes: Partial<Deps> = {},
): Subject {
  const {
    registry = {},
    grounds = "owner",
    identifiers = [],
    rows = [],
    contents = [],
    keys = [],
  } = history;
  let at = 0;
  const deps = fakeDeps({
    "private.authorize_export": [{ grounds, identifiers }],
    "private.export_grounds": [{ grounds, keys }],
    "c.record_id = any": ([, ids]) =>
      contents.filter(({ record_id }) => String(ids).includes(record_id)),
    "declare exported": () => {
      at = 0;
      return [];
    },
    "fetch 500": () => rows.slice(at, at += 500),
    "left join public.patients": [{
      ...EMPTY_REGISTRY,
      ...registry,
      taken_at: new Date(NOW_MS),
      is_seen: registry !== null,
    }],
    ...answers,
  }, changes);
  return { app: createApp(deps), deps };
}

/** Asks for an export as the signed-in caller. */
export async function ask({ app }: Subject, query = "", init: RequestInit = {}): Promise<Response> {
  return await app.request(`/records/export${query}`, {
    ...init,
    headers: { authorization: `Bearer ${await sign()}`, ...init.headers },
  });
}

export const PATIENT_URL = `urn:uuid:${CALLER_ID}`;
