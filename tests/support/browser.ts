// A headless Chromium for tests of what people see. Debian's package `chromium` is enough; BL_CHROMIUM
// names another one.

import { type Browser, chromium } from "playwright-core";

/** Path of the browser; undefined when there is none on this machine. */
export function findChromium(): string | undefined {
  const paths = [
    Deno.env.get("BL_CHROMIUM"),
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  ];
  return paths.find((path) => path && isFile(path));
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Runs `work` with a browser that looks for nothing outside this machine. */
export async function withBrowser(work: (browser: Browser) => Promise<void>): Promise<void> {
  const browser = await chromium.launch({
    executablePath: findChromium(),
    args: [
      "--no-sandbox", // root has none, and CI is root
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  try {
    await work(browser);
  } finally {
    await browser.close();
  }
}
