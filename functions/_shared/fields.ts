// Encrypted fields: a text sealed for one column of one row, under the key of the patient it is
// about. What the database holds is `v1.<data key id>.<base64 of nonce, ciphertext and tag>`.

// node:crypto, not WebCrypto: a list opens many short texts, and WebCrypto sends each to another thread
// and back, which takes longer than the work itself.
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from "node:crypto";
import { dataKeyContext } from "./data_keys.ts";
import { KEY_BYTES, type KeyRing } from "./key_ring.ts";

/** Columns that hold sealed texts. */
export type SealedColumn =
  | "patients.phone"
  | "patients.address"
  | "patients.insurance_policy_number"
  | "patients.emergency_contact_phone"
  | "medical_record_contents.description";

/** Where a text belongs. It opens nowhere else, which keeps values from being moved. */
export interface Place {
  column: SealedColumn;
  /** Primary key of the row: of the patient, or of the record. */
  row_id: string;
}

/** A patient's data key as the database gives it. */
export interface StoredKey {
  data_key_id: string;
  key_id: string;
  key_version: number;
  /** Hexadecimal; null when the key has been erased, and with it what it sealed. */
  wrapped_key: string | null;
}

/** Seals and opens fields. */
export interface FieldVault {
  /** Seals a text under a key of the patient. */
  seal(patientId: string, key: StoredKey, place: Place, text: string): Promise<string>;
  /**
   * Opens what was sealed for the place; null for null, and when the key has been erased.
   *
   * @param keys Every key that the patient has or had.
   * @throws {Error} When the value was sealed for another place or patient, or has been altered.
   */
  open(
    patientId: string,
    keys: readonly StoredKey[],
    place: Place,
    sealed: string | null,
  ): Promise<string | null>;
}

interface VaultOptions {
  keyRing: KeyRing;
  /** Clock, milliseconds since the epoch. */
  now: () => number;
  /** Most unwrapped keys that are kept. */
  maxKeys?: number;
  /** How long an unwrapped key is kept, in milliseconds. */
  keptForMs?: number;
}

const MAX_KEYS = 1_000;
const KEPT_FOR_MS = 5 * 60_000;
const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG = { authTagLength: 16 };
const UTF8 = new TextEncoder();
/** Strict, and keeps a mark at the beginning: what comes out is what went in. */
const FROM_UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const SEALED = /^v1\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([A-Za-z0-9+/]+={0,2})$/;

interface KeptKey {
  key: Promise<KeyObject>;
  until_ms: number;
}

/**
 * Makes a vault. It keeps the unwrapped keys that were used last, a few minutes each, so that a list
 * need not ask the key ring for every row. That opens nothing: a key is used only with a value and a
 * wrapped key that the database has just given to the caller, and one that was erased comes without.
 */
export function createFieldVault(
  { keyRing, now, maxKeys = MAX_KEYS, keptForMs = KEPT_FOR_MS }: VaultOptions,
): FieldVault {
  // In order of last use; the first is the oldest.
  const kept = new Map<string, KeptKey>();

  async function unwrap(context: string, { key_id, key_version }: StoredKey, wrapped: string) {
    const wrapped_key = Uint8Array.fromHex(wrapped);
    const bytes = await keyRing.unwrap({ key_id, key_version, wrapped_key }, context);
    if (bytes.length !== KEY_BYTES) throw new Error("A data key has not 32 bytes");
    return createSecretKey(bytes);
  }

  function keyOf(patientId: string, stored: StoredKey, wrapped: string): Promise<KeyObject> {
    const context = keyContext(stored.data_key_id, patientId);
    const known = kept.get(context);
    kept.delete(context);
    if (known && known.until_ms > now()) {
      kept.set(context, known);
      return known.key;
    }
    const made = { key: unwrap(context, stored, wrapped), until_ms: now() + keptForMs };
    kept.set(context, made);
    made.key.catch(() => {
      if (kept.get(context) === made) kept.delete(context);
    });
    for (const oldest of kept.keys()) {
      if (kept.size <= maxKeys) break;
      kept.delete(oldest);
    }
    return made.key;
  }

  return {
    async seal(patientId, stored, place, text) {
      if (stored.wrapped_key === null) throw new Error("Cannot seal under a key that was erased");
      const key = await keyOf(patientId, stored, stored.wrapped_key);
      const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
      const cipher = createCipheriv(CIPHER, key, nonce, TAG).setAAD(boundTo(place));
      const parts = [nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()];
      return `v1.${stored.data_key_id}.${Buffer.concat(parts).toString("base64")}`;
    },

    async open(patientId, keys, place, sealed) {
      if (sealed === null) return null;
      const [, keyId, base64] = SEALED.exec(sealed) ?? [];
      const stored = keys.find(({ data_key_id }) => data_key_id === keyId);
      if (!stored || base64 === undefined) {
        throw new Error(`${place.column} of ${place.row_id} is under no key of its patient`);
      }
      if (stored.wrapped_key === null) return null;
      const key = await keyOf(patientId, stored, stored.wrapped_key);
      const bytes = Uint8Array.fromBase64(base64);
      try {
        const nonce = bytes.subarray(0, NONCE_BYTES);
        const opened = createDecipheriv(CIPHER, key, nonce, TAG).setAAD(boundTo(place))
          .setAuthTag(bytes.subarray(-TAG.authTagLength));
        const text = opened.update(bytes.subarray(NONCE_BYTES, -TAG.authTagLength));
        opened.final(); // throws when the tag is not right: nothing of the text is used before
        return FROM_UTF8.decode(text);
      } catch (cause) {
        throw new Error(`${place.column} of ${place.row_id} is not what was sealed there`, {
          cause,
        });
      }
    },
  };
}

/** What a patient's data key is wrapped for. */
export function keyContext(dataKeyId: string, patientId: string): string {
  return dataKeyContext({ id: dataKeyId, purpose: "patient_fields", subject_id: patientId });
}

function boundTo({ column, row_id }: Place): Uint8Array<ArrayBuffer> {
  return UTF8.encode(`v1|${column}|${row_id}`);
}
