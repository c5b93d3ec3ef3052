// Time-based one-time passwords (RFC 6238): the secret that an authenticator app is given, as text
// and as a picture, and the check of what it shows.

import { Secret, TOTP } from "otpauth";
import encodeQR from "qr";

const ALGORITHM = { algorithm: "SHA1", digits: 6, period: 30 } as const;
const SECRET_BYTES = 20;

/** What a person needs to set up an authenticator app. */
export interface Enrollment {
  /** Base32 without padding. */
  secret: string;
  /** `otpauth://totp/…` */
  uri: string;
  /** SVG markup of `uri` as a QR code. */
  qr_code: string;
}

/** Makes a secret for an authenticator app. */
export function enroll(issuer: string, label: string): Enrollment {
  const secret = new Secret({ size: SECRET_BYTES });
  const uri = new TOTP({ issuer, label, secret, ...ALGORITHM }).toString();
  return { secret: secret.base32, uri, qr_code: encodeQR(uri, "svg") };
}

/**
 * Whether `code` is what an app with this secret shows at `now`, or showed up to one step before,
 * or will one step after; clocks differ. Compared in constant time.
 */
export function isCode(secret: string, code: string, now: Date): boolean {
  const totp = new TOTP({ secret: Secret.fromBase32(secret), ...ALGORITHM });
  return totp.validate({ token: code, timestamp: now.getTime(), window: 1 }) !== null;
}
