// Where a link of a mail may lead: the site, addresses that the settings list, or this machine.

import { isLoopback } from "../gateway.ts";
import type { AuthSettings } from "./settings.ts";

/**
 * The address that a flow ends at: what the client asked for if the settings allow it, else the
 * page that the request came from if they allow that, else the site.
 */
export function redirectTarget(request: Request, settings: AuthSettings, wanted?: string | null) {
  const asked = wanted || new URL(request.url).searchParams.get("redirect_to");
  const candidates = [asked, request.headers.get("referer")];
  return candidates.find((url) => url && isAllowed(url, settings)) ?? settings.site_url;
}

/** Whether the settings allow a flow to end at `target`. */
export function isAllowed(target: string, settings: AuthSettings): boolean {
  const url = URL.parse(target);
  if (!url) return false;
  const site = URL.parse(settings.site_url);
  if (site && url.protocol === site.protocol && url.hostname === site.hostname) {
    if (url.port === site.port || isLoopback(url.hostname)) return true;
  }
  // Addresses by number are never listed; only this machine's own is safe.
  if (/^[\d.]+$|^\[/.test(url.hostname)) return isLoopback(url.hostname);
  const [bare = ""] = target.split("#");
  return settings.additional_redirect_urls.some((pattern) => globToRegExp(pattern).test(bare));
}

/** `*` is any text without `.` and `/`, `**` is any text, `?` is one character. */
function globToRegExp(pattern: string): RegExp {
  const source = pattern.replace(/\*\*|[*?]|[\\^$.+()|[\]{}]/g, (special) => {
    if (special === "**") return ".*";
    if (special === "*") return "[^./]*";
    if (special === "?") return "[^./]";
    return `\\${special}`;
  });
  return new RegExp(`^${source}$`);
}
