// Passwords: bcrypt as on hosted Supabase, and the rules for new ones.

import bcrypt from "bcryptjs";
import { AuthError, invalid } from "./errors.ts";
import type { AuthSettings } from "./settings.ts";

const COST = 10;
/** Longest password in bytes; bcrypt ignores what follows. */
const MAX_BYTES = 72;

const LOWER = "abcdefghijklmnopqrstuvwxyz";
const DIGITS = "0123456789";
const CLASSES: Record<AuthSettings["password_requirements"], string[]> = {
  "": [],
  letters_digits: [LOWER + LOWER.toUpperCase(), DIGITS],
  lower_upper_letters_digits: [LOWER, LOWER.toUpperCase(), DIGITS],
  lower_upper_letters_digits_symbols: [
    LOWER,
    LOWER.toUpperCase(),
    DIGITS,
    "!@#$%^&*()_+-=[]{};'\\:\"|<>?,./`~",
  ],
};

/**
 * Checks a new password against the settings.
 *
 * @throws {AuthError} `validation_failed` if it is too long, `weak_password` if it breaks a rule.
 */
export function checkPasswordStrength(password: string, settings: AuthSettings): void {
  if (new TextEncoder().encode(password).length > MAX_BYTES) {
    throw invalid(`Password cannot be longer than ${MAX_BYTES} characters`);
  }
  const { minimum_password_length, password_requirements } = settings;
  const classes = CLASSES[password_requirements];
  const reasons: string[] = [];
  const messages: string[] = [];
  if ([...password].length < minimum_password_length) {
    reasons.push("length");
    messages.push(`Password should be at least ${minimum_password_length} characters.`);
  }
  if (!classes.every((characters) => [...characters].some((one) => password.includes(one)))) {
    reasons.push("characters");
    messages.push(
      `Password should contain at least one character of each: ${classes.join(", ")}.`,
    );
  }
  if (reasons.length === 0) return;
  throw new AuthError(422, "weak_password", messages.join(" "), { weak_password: { reasons } });
}

/** The bcrypt hash of a password. */
export async function hashPassword(password: string): Promise<string> {
  return await bcrypt.hash(password, COST);
}

/** The hash of a password that nobody knows, for accounts that are entered without one. */
export async function hashRandomPassword(): Promise<string> {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return await hashPassword(bytes.toBase64());
}

/** Whether `password` is the one that `hash` was made of; false for an account without one. */
export async function isPassword(password: string, hash: string | null): Promise<boolean> {
  return hash !== null && hash !== "" && await bcrypt.compare(password, hash);
}

/** Whether `text` is a hash that {@link isPassword} can check. */
export function isPasswordHash(text: string): boolean {
  return /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(text);
}
