// The part of a database that keeps encrypted fields, in memory: what functions write can be read
// back, looked at, and meddled with.

import type { StoredKey } from "../../functions/_shared/fields.ts";
import type { Answer } from "./support.ts";

type Row = Record<string, string | null>;

/** What the functions of the database would keep; the caller may do everything. */
export class FieldStore {
  /** Keys by patient. */
  readonly keys = new Map<string, StoredKey[]>();
  /** Encrypted columns by patient. */
  readonly patients = new Map<string, Row>();
  /** Digests by patient. */
  readonly searchKeys = new Map<string, Row>();
  /** Encrypted descriptions by record. */
  readonly descriptions = new Map<string, string | null>();

  /** @param owner Whose the caller's registry row and every record is. */
  constructor(readonly owner: string) {}

  /** Answers for a `FakeSql`. */
  get answers(): Record<string, Answer> {
    return {
      field_key_for_patient: ([patient_id]) => [this.#keyOf(String(patient_id))],
      field_key_for_record: () => [this.#keyOf(this.owner)],
      keep_patient_key: ([patient_id, data_key_id, key_id, key_version, wrapped_key]) => {
        const made = {
          data_key_id: String(data_key_id),
          key_id: String(key_id),
          key_version: Number(key_version),
          wrapped_key: String(wrapped_key),
        };
        const kept = this.#keysOf(String(patient_id));
        const live = kept.find((key) => key.wrapped_key !== null);
        if (!live) kept.push(made);
        return [live ?? made];
      },
      write_patient_fields: ([fields, searchKeys]) => {
        this.#merge(this.patients, this.owner, fields);
        this.#merge(this.searchKeys, this.owner, searchKeys);
        return [{}];
      },
      read_patient_fields: ([ids]) =>
        listOf(ids).filter((id) => this.patients.has(id)).toSorted().map((id) => ({
          id,
          phone: null,
          address: null,
          insurance_policy_number: null,
          emergency_contact_phone: null,
          ...this.patients.get(id),
          keys: structuredClone(this.#keysOf(id)),
        })),
      write_record_description: ([record_id, description]) => {
        this.descriptions.set(String(record_id), description === null ? null : String(description));
        return [{}];
      },
      read_record_descriptions: ([ids]) =>
        listOf(ids).filter((id) => this.descriptions.has(id)).toSorted().map((record_id) => ({
          record_id,
          patient_id: this.owner,
          description: this.descriptions.get(record_id),
          keys: structuredClone(this.#keysOf(this.owner)),
        })),
    };
  }

  #keysOf(patientId: string): StoredKey[] {
    const kept = this.keys.get(patientId) ?? [];
    this.keys.set(patientId, kept);
    return kept;
  }

  #keyOf(patient_id: string) {
    const none = { data_key_id: null, key_id: null, key_version: null, wrapped_key: null };
    const live = this.#keysOf(patient_id).find(({ wrapped_key }) => wrapped_key !== null);
    return { patient_id, ...live ?? none };
  }

  #merge(rows: Map<string, Row>, id: string, json: unknown): void {
    rows.set(id, { ...rows.get(id), ...JSON.parse(String(json)) });
  }
}

function listOf(ids: unknown): string[] {
  return String(ids).replace(/[{}]/g, "").split(",").map((id) => id.toLowerCase());
}
