// Times of a schedule: five cron fields, in UTC or in the zone that `CRON_TZ=Europe/Amsterdam ` before
// them names.

import { Cron } from "croner";
import { invalid } from "./errors.ts";

// The library knows more than the service: L, W, #, seconds.
const VALUE = "(?:[0-9]{1,2}|[A-Za-z]{3})";
const PART = String.raw`(?:\*|\?|${VALUE}(?:-${VALUE})?)(?:/[0-9]+)?`;
const FIELDS = new RegExp(String.raw`^${PART}(?:,${PART})*(?: ${PART}(?:,${PART})*){4}$`);

/**
 * The first time of a cron after `after`, unix milliseconds; null when there is none any more.
 *
 * @throws {QStashError} 400 when it is no cron.
 */
export function nextTime(cron: string, after: number): number | null {
  const [, zone = "UTC", text = ""] = /^(?:CRON_TZ=(\S+)\s+)?(.*)$/s.exec(cron.trim()) ?? [];
  const fields = text.trim().replaceAll(/\s+/g, " ");
  if (!FIELDS.test(fields)) throw invalid("Upstash-Cron must have five fields");
  try {
    const pattern = new Cron(fields, { timezone: zone, mode: "5-part", paused: true });
    return pattern.nextRun(new Date(after))?.getTime() ?? null;
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    throw invalid(`Upstash-Cron is wrong: ${error.message}`);
  }
}
