// The local page in a real browser: two demo people, each in a pane, write, read, and are removed.
// BL_SCREENSHOT names a file to which the page is drawn on the way.

import { assertEquals, assertMatch } from "@std/assert";
import type { Locator, Page } from "playwright-core";
import { findChromium, withBrowser } from "../support/browser.ts";
import { Site } from "../support/stack_process.ts";

const hasChromium = findChromium() !== undefined;
if (!hasChromium) console.log("Skipped, as there is no Chromium here: the local page in a browser");

/** Long enough for a machine that does other things, too; what is awaited comes at once. */
const PATIENCE_MS = 60_000;

/** Signs one of the demo people in; resolves when their channel is live. */
async function signIn(page: Page, side: "left" | "right", email: string): Promise<Locator> {
  const pane = page.locator(`[data-pane="${side}"]`);
  await pane.getByLabel("Who are you here?").selectOption(email);
  await pane.getByRole("button", { name: "Sign in" }).click();
  await pane.getByRole("status").filter({ hasText: "live" }).waitFor();
  return pane;
}

async function write(pane: Locator, text: string): Promise<void> {
  await pane.getByLabel("Message", { exact: true }).fill(text);
  await pane.getByRole("button", { name: "Send" }).click();
}

const messages = (pane: Locator) => pane.locator(".messages li");

Deno.test({
  name:
    "the local page: two people chat live, see each other, and one who is removed hears no more",
  ignore: !hasChromium,
  sanitizeOps: false, // the browser's pipes are closed after the test has ended
  sanitizeResources: false,
  fn: () =>
    Site.usePrepared(async (site) => {
      await site.start().ready();
      await withBrowser(async (browser) => {
        const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
        page.setDefaultTimeout(PATIENCE_MS);
        const faults: string[] = [];
        page.on("pageerror", (error) => faults.push(error.message));
        const elsewhere: string[] = [];
        page.on("request", (request) => {
          if (!new URL(request.url()).host.startsWith("127.0.0.1")) elsewhere.push(request.url());
        });

        await page.goto(`http://127.0.0.1:${site.apiPort}/_local/`);
        // A second sign-in is told to the account, by mail as well, when the queue's schedule ticks.
        const first = await signIn(page, "left", "patient@example.com");
        await first.getByRole("button", { name: "Sign out" }).click();
        const asha = await signIn(page, "left", "patient@example.com");
        const tick = "/_local/qstash/schedules/beautiful-life.notifications-deliver/tick";
        const ticked = await fetch(`http://127.0.0.1:${site.apiPort}${tick}`, { method: "POST" });
        await ticked.body?.cancel();
        await page.locator("#outbox li").filter({ hasText: "email to patient@example.com" })
          .waitFor();
        const ravi = await signIn(page, "right", "relative@example.com");

        // Asha starts a group with Ravi; he is told of the first message, and opens it.
        await asha.getByRole("checkbox", { name: "Ravi Verma" }).check();
        await asha.getByLabel("Title, for a group").fill("Sunday visit");
        await asha.getByRole("button", { name: "Start" }).click();
        await asha.getByRole("button", { name: /Sunday visit/ }).click();
        await write(asha, "Will you come on Sunday?");
        await messages(asha).filter({ hasText: "Will you come on Sunday?" }).waitFor();
        await ravi.getByRole("button", { name: /Notifications 1/ }).waitFor();
        await ravi.getByRole("button", { name: /Sunday visit/ }).click();
        await messages(ravi).filter({ hasText: "Will you come on Sunday?" }).waitFor();

        // Presence in both panes, and typing while he writes.
        for (const pane of [asha, ravi]) {
          await pane.locator(".participants li[data-online]").nth(1).waitFor();
        }
        await ravi.getByLabel("Message", { exact: true }).pressSequentially("Yes, at noon");
        await asha.getByText("Ravi Verma is writing").waitFor();
        await ravi.getByRole("button", { name: "Send" }).click();
        await messages(asha).filter({ hasText: "Yes, at noon" }).waitFor();

        await ravi.getByRole("button", { name: /Notifications/ }).click();
        await ravi.locator(".notifications li").first().waitFor();
        const drawing = Deno.env.get("BL_SCREENSHOT");
        if (drawing) await page.screenshot({ path: drawing });

        // Removed, with a token that is still valid: what was said stays, nothing new comes.
        await asha.getByRole("button", { name: "Remove Ravi Verma" }).click();
        await ravi.getByText("You are no longer in this conversation").waitFor();
        await write(asha, "This is for me alone");
        await messages(asha).filter({ hasText: "This is for me alone" }).waitFor();
        // What the next event in the other pane finds: a notification comes later than the message.
        await ravi.getByRole("button", { name: "Mark all as read" }).click();
        await ravi.locator(".notifications li[data-unread]").first().waitFor({ state: "detached" });
        assertEquals(await messages(ravi).filter({ hasText: "This is for me alone" }).count(), 0);
        assertEquals(await messages(ravi).count(), 2);

        assertEquals(faults, []);
        assertEquals(elsewhere, []);
        assertMatch(await page.title(), /Beautiful Life/);
      });
    }),
});
