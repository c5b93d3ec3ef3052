// The blind index: keyed digests by which a patient is found by phone or policy number, although the
// database holds neither. Equal values have equal digests; without the key they say nothing.

import { parsePhoneNumberFromString } from "libphonenumber-js/min";

/** Digests of one field, in hexadecimal, by the name in `private.patient_search_keys`. */
export interface SearchKeys {
  /** The number with its country; absent when it was given without. */
  phone?: string;
  /** The number within its country. */
  phone_national?: string;
  insurance_policy_number?: string;
}

/** Computes digests. */
export interface BlindIndex {
  phone(text: string): Promise<SearchKeys>;
  insurancePolicyNumber(text: string): Promise<SearchKeys>;
}

/** A phone number as it is compared: digits only. */
interface PhoneDigits {
  /** Country calling code and number. */
  international: string | null;
  /** Number within its country, without the zeros that stand before it there. */
  national: string | null;
}

/** @param key HMAC key, 32 bytes. */
export function openBlindIndex(key: Uint8Array<ArrayBuffer>): BlindIndex {
  const imported = crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, [
    "sign",
  ]);
  const digest = async (field: keyof SearchKeys, value: string | null): Promise<SearchKeys> => {
    if (value === null) return {};
    // The field's name keeps a phone number from being compared with a policy number.
    const text = new TextEncoder().encode(`patients.${field}|${value}`);
    const bytes = await crypto.subtle.sign("HMAC", await imported, text);
    return { [field]: new Uint8Array(bytes).toHex() };
  };
  return {
    async phone(text) {
      const { international, national } = normalizePhone(text);
      const [phone, phoneNational] = await Promise.all([
        digest("phone", international),
        digest("phone_national", national),
      ]);
      return { ...phone, ...phoneNational };
    },
    insurancePolicyNumber: (text) => digest("insurance_policy_number", normalizePolicyNumber(text)),
  };
}

/**
 * Reads a phone number as it is compared. A number that begins with `+` or `00` names its country;
 * any other is a number within some country. Blanks, signs and an extension (`x7`) do not count.
 *
 * @example
 * normalizePhone("+91 98450-00117"); // { international: "919845000117", national: "9845000117" }
 * normalizePhone("098450 00117"); // { international: null, national: "9845000117" }
 */
export function normalizePhone(text: string): PhoneDigits {
  const [number = ""] = text.split("x");
  const digits = number.replace(/\D/g, "");
  const names_country = /^[^0-9]*\+/.test(number) || digits.startsWith("00");
  const parsed = names_country
    ? parsePhoneNumberFromString(`+${digits.replace(/^00/, "")}`, { extract: false })
    : undefined;
  return {
    international: parsed ? parsed.number.slice(1) : null,
    national: withoutZeros(parsed ? parsed.nationalNumber : digits),
  };
}

function withoutZeros(digits: string): string | null {
  return digits.replace(/^0+/, "") || null;
}

/** Reads a policy number as it is compared: letters and digits, in capitals. */
export function normalizePolicyNumber(text: string): string | null {
  return text.normalize("NFKC").toUpperCase().replace(/[^\p{L}\p{N}]/gu, "") || null;
}
