// RRULE as text (RFC 5545, section 3.3.10): reads it strictly, so that what is stored is what was
// meant. The library that expands rules passes over parts and values that it does not know.

const FREQUENCIES = ["SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"];
const WEEKDAY = /^(MO|TU|WE|TH|FR|SA|SU)$/;
const ORDINAL_WEEKDAY = /^([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)$/;
const UTC_TIME = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;

/** Longest rule that is read, in characters. */
const MAX_LENGTH = 500;
/** Most occurrences that COUNT may ask for, which are all counted at once. */
const MAX_COUNT = 2_000;

/** Parts that are lists of whole numbers: smallest and largest, and whether they count from the end. */
const NUMBER_LISTS: Readonly<Record<string, { from: number; to: number; signed: boolean }>> = {
  BYSECOND: { from: 0, to: 59, signed: false },
  BYMINUTE: { from: 0, to: 59, signed: false },
  BYHOUR: { from: 0, to: 23, signed: false },
  BYMONTHDAY: { from: 1, to: 31, signed: true },
  BYYEARDAY: { from: 1, to: 366, signed: true },
  BYWEEKNO: { from: 1, to: 53, signed: true },
  BYMONTH: { from: 1, to: 12, signed: false },
  BYSETPOS: { from: 1, to: 366, signed: true },
};

/** A rule that cannot be followed, and where in its text the fault is. */
export class RuleError extends Error {
  override readonly name = "RuleError";
  /**
   * @param reason What is wrong, without repeating what was sent.
   * @param position Characters before the fault, counted from 0.
   * @param field What was read: `rrule`, `starts_at_local`, `timezone`, `rdate`, `exdate` …
   */
  constructor(readonly reason: string, readonly position = 0, readonly field = "rrule") {
    super(reason);
  }
}

/** A rule whose text is well formed. */
export interface RuleText {
  /** The rule in capitals, without UNTIL, which is an instant and compared as one. */
  text: string;
  /** The rule in capitals, as it is stored. */
  canonical: string;
  /** Last instant that counts, ISO 8601; null for none. */
  until: string | null;
  count: number | null;
}

interface Part {
  name: string;
  value: string;
  /** Where the part begins, and where its value does. */
  at: number;
  valueAt: number;
}

/**
 * Reads a rule.
 *
 * @param given The value of an RRULE property, for example `FREQ=DAILY;BYHOUR=8,20`.
 * @throws {RuleError} With the reason and the position of the first fault.
 */
export function readRuleText(given: string): RuleText {
  if (given.length > MAX_LENGTH) {
    throw new RuleError(`A rule has at most ${MAX_LENGTH} characters`, MAX_LENGTH);
  }
  const canonical = given.toUpperCase();
  const parts = splitParts(canonical);
  for (const part of parts) checkValue(part);
  checkTogether(parts);
  const until = parts.find(({ name }) => name === "UNTIL");
  const count = parts.find(({ name }) => name === "COUNT");
  return {
    text: parts.filter((part) => part !== until).map(({ name, value }) => `${name}=${value}`)
      .join(";"),
    canonical,
    until: until ? toInstant(until) : null,
    count: count ? Number(count.value) : null,
  };
}

function splitParts(text: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const piece of text.split(";")) {
    const match = /^([A-Z]+)=/.exec(piece);
    if (!match) throw new RuleError("A part has the form NAME=value", at);
    const name = match[1]!;
    if (parts.some((part) => part.name === name)) {
      throw new RuleError("A part may stand in a rule once", at);
    }
    parts.push({ name, value: piece.slice(name.length + 1), at, valueAt: at + name.length + 1 });
    at += piece.length + 1;
  }
  return parts;
}

function checkValue(part: Part): void {
  const { name, value, at, valueAt } = part;
  if (name in NUMBER_LISTS) return checkNumbers(part);
  switch (name) {
    case "FREQ":
      if (!FREQUENCIES.includes(value)) {
        throw new RuleError(`FREQ is one of ${FREQUENCIES.join(", ")}`, valueAt);
      }
      return;
    case "INTERVAL":
      if (!isWithin(value, 1, 100_000)) {
        throw new RuleError("INTERVAL is a whole number of 1 to 100000", valueAt);
      }
      return;
    case "COUNT":
      if (!isWithin(value, 1, MAX_COUNT)) {
        throw new RuleError(`COUNT is a whole number of 1 to ${MAX_COUNT}`, valueAt);
      }
      return;
    case "UNTIL":
      toInstant(part);
      return;
    case "WKST":
      if (!WEEKDAY.test(value)) throw new RuleError("WKST is a weekday, MO to SU", valueAt);
      return;
    case "BYDAY":
      return eachOf(part, (item, position) => {
        const ordinal = ORDINAL_WEEKDAY.exec(item);
        if (!ordinal || (ordinal[1] !== undefined && !isWithin(unsigned(ordinal[1]), 1, 53))) {
          throw new RuleError("BYDAY lists weekdays, MO to SU, with -53 to 53 before", position);
        }
      });
    default:
      throw new RuleError("No part of a rule has this name", at);
  }
}

function checkNumbers(part: Part): void {
  const { from, to, signed } = NUMBER_LISTS[part.name]!;
  eachOf(part, (item, position) => {
    if (isWithin(signed ? unsigned(item) : item, from, to)) return;
    const range = signed ? `${from} to ${to}, or -${to} to -${from}` : `${from} to ${to}`;
    throw new RuleError(`${part.name} lists whole numbers of ${range}`, position);
  });
}

function eachOf({ value, valueAt }: Part, check: (item: string, position: number) => void): void {
  let position = valueAt;
  for (const item of value.split(",")) {
    check(item, position);
    position += item.length + 1;
  }
}

/** What RFC 5545 says of parts that may not stand together. */
function checkTogether(parts: Part[]): void {
  const get = (name: string) => parts.find((part) => part.name === name);
  const freq = get("FREQ")?.value;
  if (!freq) throw new RuleError("A rule needs FREQ");
  const until = get("UNTIL");
  if (until && get("COUNT")) throw new RuleError("UNTIL and COUNT exclude each other", until.at);
  const refuse = (name: string, wrong: boolean, reason: string) => {
    const part = get(name);
    if (part && wrong) throw new RuleError(reason, part.at);
  };
  refuse("BYMONTHDAY", freq === "WEEKLY", "BYMONTHDAY does not go with FREQ=WEEKLY");
  refuse(
    "BYYEARDAY",
    ["DAILY", "WEEKLY", "MONTHLY"].includes(freq),
    "BYYEARDAY does not go with FREQ=DAILY, WEEKLY or MONTHLY",
  );
  refuse("BYWEEKNO", freq !== "YEARLY", "BYWEEKNO goes with FREQ=YEARLY only");
  refuse(
    "BYDAY",
    /\d/.test(get("BYDAY")?.value ?? "") &&
      (!["MONTHLY", "YEARLY"].includes(freq) || get("BYWEEKNO") !== undefined),
    "BYDAY has numbers with FREQ=MONTHLY or YEARLY only, and not beside BYWEEKNO",
  );
  refuse(
    "BYSETPOS",
    !parts.some(({ name }) => name.startsWith("BY") && name !== "BYSETPOS"),
    "BYSETPOS needs another part that begins with BY",
  );
  if (freq === "YEARLY") checkYearly(get, refuse);
}

/** What RFC 5545 allows, and the library gets wrong: days too many, others left out. */
function checkYearly(
  get: (name: string) => Part | undefined,
  refuse: (name: string, wrong: boolean, reason: string) => void,
): void {
  const byDay = get("BYDAY");
  const byMonthDay = get("BYMONTHDAY");
  const byWeek = get("BYWEEKNO");
  refuse(
    "BYYEARDAY",
    (byDay ?? byMonthDay ?? byWeek) !== undefined,
    "BYYEARDAY is not followed beside BYDAY, BYMONTHDAY or BYWEEKNO",
  );
  refuse(
    "BYMONTHDAY",
    /\d/.test(byDay?.value ?? "") && get("BYMONTH") === undefined,
    "BYMONTHDAY is not followed beside BYDAY with numbers without BYMONTH",
  );
  refuse("BYWEEKNO", byDay === undefined, "BYWEEKNO is not followed without BYDAY");
  // The week that reaches into another year.
  refuse(
    "BYWEEKNO",
    byWeek?.value.split(",").some((week) => !isWithin(unsigned(week), 2, 51)) ?? false,
    "BYWEEKNO is followed from 2 to 51, or -51 to -2",
  );
}

function toInstant({ value, valueAt }: Part): string {
  const match = UTC_TIME.exec(value);
  const iso = match && `${match[1]}-${match[2]}-${match[3]}T${match[4]}:${match[5]}:${match[6]}Z`;
  const time = iso ? Date.parse(iso) : NaN;
  // Date.parse takes 24:00:00 for the next day; 30 February it refuses.
  if (!iso || Number.isNaN(time) || new Date(time).toISOString().slice(0, 19) + "Z" !== iso) {
    throw new RuleError("UNTIL is a time in UTC such as 20271231T235959Z", valueAt);
  }
  return iso;
}

/** The digits of a number that may have a sign. */
function unsigned(text: string): string {
  return text.replace(/^[+-]/, "");
}

function isWithin(digits: string, from: number, to: number): boolean {
  return /^\d{1,6}$/.test(digits) && Number(digits) >= from && Number(digits) <= to;
}
