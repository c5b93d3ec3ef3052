// `/_local/`: a page on which two of the demo people talk to each other, to look at the stack at work.
// Plain files without a build step, and nothing that comes from elsewhere.

import { fromFileUrl } from "@std/path";
import type { StackContext } from "./context.ts";

const FILES: Record<string, string> = {
  "index.html": "text/html; charset=utf-8",
  "page.css": "text/css; charset=utf-8",
  "main.js": "text/javascript; charset=utf-8",
  "pane.js": "text/javascript; charset=utf-8",
  "talk.js": "text/javascript; charset=utf-8",
  "bell.js": "text/javascript; charset=utf-8",
  "outbox.js": "text/javascript; charset=utf-8",
  "dom.js": "text/javascript; charset=utf-8",
};

/** Those of supabase/seed.sql whom the page offers. */
const PEOPLE = [
  { email: "patient@example.com", name: "Asha Verma, patient" },
  { email: "relative@example.com", name: "Ravi Verma, her relative" },
  { email: "doctor@example.com", name: "Dr Meera Iyer, her doctor" },
  { email: "applicant@example.com", name: "Dr Tom Quill, not verified" },
  { email: "stranger@example.com", name: "Sam Stranger" },
];

/** Answers the page's file of this name (`""` is the page itself); undefined when there is none. */
export async function servePage(
  { apiUrl, keys }: StackContext,
  name: string,
): Promise<Response | undefined> {
  if (name === "config.json") {
    return Response.json({ publishable_key: keys.publishable, people: PEOPLE });
  }
  if (name === "supabase.js") return await file(browserBuild(), "text/javascript; charset=utf-8");
  const found = name || "index.html";
  const type = FILES[found];
  if (!type) return undefined;
  const response = await file(new URL(`./page/${found}`, import.meta.url), type);
  // The socket has another scheme, which 'self' does not cover in every browser.
  response.headers.set(
    "content-security-policy",
    `default-src 'self'; img-src data:; connect-src 'self' ${apiUrl.replace(/^http/, "ws")}`,
  );
  return response;
}

/** The build of supabase-js for browsers, of the version that everything here uses. */
function browserBuild(): URL {
  return new URL("./umd/supabase.js", import.meta.resolve("@supabase/supabase-js"));
}

async function file(url: URL, type: string): Promise<Response> {
  return new Response(await Deno.readFile(fromFileUrl(url)), {
    headers: { "content-type": type, "cache-control": "no-store" },
  });
}
