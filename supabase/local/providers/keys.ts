// Credentials of the doubles: made at a stack's first start, and given to the function that sends.

/** What each double knows its one client by. */
export interface ProviderKeys {
  resend: { apiKey: string; webhookSecret: string };
  twilio: { accountSid: string; authToken: string };
  /** A service account: PKCS #8 and SPKI, PEM. */
  fcm: { privateKey: string; publicKey: string };
  /** A point and a scalar of P-256, base64url. */
  vapid: { publicKey: string; privateKey: string };
}

export const FCM_PROJECT = "beautiful-life-local";
export const FCM_EMAIL = `sender@${FCM_PROJECT}.iam.gserviceaccount.com`;

/** Makes credentials; the pair of RSA keys takes a moment. */
export async function makeProviderKeys(): Promise<ProviderKeys> {
  const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
  const rsa = await crypto.subtle.generateKey(
    {
      name: "RSASSA-PKCS1-v1_5",
      modulusLength: 2048,
      publicExponent: new Uint8Array([1, 0, 1]),
      hash: "SHA-256",
    },
    true,
    ["sign", "verify"],
  );
  const vapid = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  const { d = "" } = await crypto.subtle.exportKey("jwk", vapid.privateKey);
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", vapid.publicKey));
  return {
    resend: {
      apiKey: `re_${random(18).toHex()}`,
      webhookSecret: `whsec_${random(24).toBase64()}`,
    },
    twilio: { accountSid: `AC${random(16).toHex()}`, authToken: random(16).toHex() },
    fcm: {
      privateKey: pem("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", rsa.privateKey)),
      publicKey: pem("PUBLIC KEY", await crypto.subtle.exportKey("spki", rsa.publicKey)),
    },
    vapid: {
      publicKey: point.toBase64({ alphabet: "base64url", omitPadding: true }),
      privateKey: d,
    },
  };
}

function pem(label: string, der: ArrayBuffer): string {
  const lines = new Uint8Array(der).toBase64().match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}
