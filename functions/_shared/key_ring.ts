// Envelope encryption: the key-encryption keys that wrap data keys. Here they come from the
// environment; a key management service fits behind the same interface. Data keys themselves are made
// at random, one for each file and each patient, and are kept in the database in wrapped form only.

import { AppError } from "./errors.ts";

/** Bytes of an AES-256 key. */
export const KEY_BYTES = 32;

const NONCE_BYTES = 12;

/** A data key under a key-encryption key: what `private.data_keys` keeps. */
export interface WrappedKey {
  /** Name of the key-encryption key. */
  key_id: string;
  /** Its version, from 1. */
  key_version: number;
  /** 12 bytes of nonce, then ciphertext and tag (AES-256-GCM). */
  wrapped_key: Uint8Array<ArrayBuffer>;
}

/** Wraps and unwraps data keys. A key management service may stand behind it. */
export interface KeyRing {
  /** What new keys are wrapped under. */
  readonly current: Readonly<{ key_id: string; key_version: number }>;
  /**
   * Wraps a data key under the current version.
   *
   * @param context What the key is for, for example `record_file:<id>`; unwrapping needs the same.
   */
  wrap(dataKey: Uint8Array<ArrayBuffer>, context: string): Promise<WrappedKey>;
  /**
   * Unwraps a data key, whatever version it is under.
   *
   * @throws {AppError} `unavailable` when the version is not at hand, and an error without a code when
   * the bytes or the context are not those that were wrapped.
   */
  unwrap(wrapped: WrappedKey, context: string): Promise<Uint8Array<ArrayBuffer>>;
}

/** A version of the key-encryption key, as the environment gives it. */
export interface KeyVersion {
  key_id: string;
  key_version: number;
  /** 32 bytes. */
  key: Uint8Array<ArrayBuffer>;
}

/** Makes a data key. */
export function newDataKey(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(KEY_BYTES));
}

/**
 * Opens a ring of keys held in memory; the highest version is current.
 *
 * @param versions At least one, all of one key, each version once.
 */
export function openKeyRing(versions: readonly KeyVersion[]): KeyRing {
  const current = versions.reduce((a, b) => b.key_version > a.key_version ? b : a);
  const imported = new Map<string, Promise<CryptoKey>>();
  const keyOf = ({ key_id, key_version, key }: KeyVersion): Promise<CryptoKey> => {
    const name = `${key_id}.v${key_version}`;
    const known = imported.get(name);
    if (known) return known;
    const made = crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]);
    imported.set(name, made);
    return made;
  };
  return {
    current: { key_id: current.key_id, key_version: current.key_version },
    async wrap(dataKey, context) {
      const iv = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
      const { key_id, key_version } = current;
      const sealed = await crypto.subtle.encrypt(
        { name: "AES-GCM", iv, additionalData: boundTo(context, current) },
        await keyOf(current),
        dataKey,
      );
      const wrapped_key = new Uint8Array(NONCE_BYTES + sealed.byteLength);
      wrapped_key.set(iv);
      wrapped_key.set(new Uint8Array(sealed), NONCE_BYTES);
      return { key_id, key_version, wrapped_key };
    },
    async unwrap(wrapped, context) {
      const version = versions.find(({ key_id, key_version }) =>
        key_id === wrapped.key_id && key_version === wrapped.key_version
      );
      if (!version) {
        throw new AppError("unavailable", "A key-encryption key is not at hand", {
          cause: new Error(`No key ${wrapped.key_id}.v${wrapped.key_version} in the environment`),
          retryAfterSeconds: 60,
        });
      }
      return new Uint8Array(
        await crypto.subtle.decrypt(
          {
            name: "AES-GCM",
            iv: wrapped.wrapped_key.subarray(0, NONCE_BYTES),
            additionalData: boundTo(context, version),
          },
          await keyOf(version),
          wrapped.wrapped_key.subarray(NONCE_BYTES),
        ),
      );
    },
  };
}

/** Ties a wrapped key to its purpose and version, so that it cannot stand in for another. */
function boundTo(
  context: string,
  { key_id, key_version }: { key_id: string; key_version: number },
): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${key_id}.v${key_version}|${context}`);
}

/**
 * Reads `KEY_ENCRYPTION_KEYS`: versions of one key, each `<id>.v<version>=<32 bytes in base64>`, by
 * comma.
 *
 * @returns Null when the text is not of that form.
 */
export function readKeyVersions(text: string): KeyVersion[] | null {
  const versions: KeyVersion[] = [];
  for (const part of text.split(",")) {
    const match = /^\s*([a-z][a-z0-9-]{0,31})\.v([1-9]\d{0,5})=([A-Za-z0-9+/]{43}=)\s*$/.exec(part);
    if (!match) return null;
    const [, key_id = "", version = "", base64 = ""] = match;
    versions.push({ key_id, key_version: Number(version), key: Uint8Array.fromBase64(base64) });
  }
  const names = new Set(versions.map(({ key_version }) => key_version));
  const ids = new Set(versions.map(({ key_id }) => key_id));
  return ids.size === 1 && names.size === versions.length ? versions : null;
}
