// How the data API's values become JSON and back. Lite passes PostgreSQL's texts on, which are not
// what PostgREST answers: times would lack their `T`, numbers with trailing zeros would be strings,
// nulls in arrays would be the word. What clients send goes to PostgreSQL as text, which judges it;
// the driver would take the string "true" for false, and fail on a number where a time is meant.

import { parse as parseArray } from "postgres-array";

interface ScalarType {
  parse: (text: string) => unknown;
  serialize: (value: unknown) => string;
}

const plain: ScalarType = { parse: (text) => text, serialize: asText };
const boolean: ScalarType = { ...plain, parse: (text) => text === "t" };
const time: ScalarType = { ...plain, parse: isoTime };
const number: ScalarType = {
  ...plain,
  parse: (text) => Number.isFinite(Number(text)) ? Number(text) : text,
};
// Beyond 2^53 a bigint keeps its digits on the wire.
const bigint: ScalarType = {
  ...plain,
  parse: (text) => Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text),
};
// A string is JSON text already: Lite stringifies arguments, and filters are written as JSON.
const json: ScalarType = {
  parse: (text) => JSON.parse(text),
  serialize: (value) => typeof value === "string" ? value : JSON.stringify(value),
};

/** Types by name, with the object ids of the type and of its array. */
const TYPES: Record<string, [ScalarType, oid: number, arrayOid: number]> = {
  boolean: [boolean, 16, 1000],
  bytea: [plain, 17, 1001],
  bigint: [bigint, 20, 1016],
  smallint: [number, 21, 1005],
  integer: [number, 23, 1007],
  text: [plain, 25, 1009],
  json: [json, 114, 199],
  real: [number, 700, 1021],
  double: [number, 701, 1022],
  bpchar: [plain, 1042, 1014],
  varchar: [plain, 1043, 1015],
  date: [plain, 1082, 1182],
  time: [plain, 1083, 1183],
  timestamp: [time, 1114, 1115],
  timestamptz: [time, 1184, 1185],
  timetz: [plain, 1266, 1270],
  numeric: [number, 1700, 1231],
  uuid: [plain, 2950, 2951],
  jsonb: [json, 3802, 3807],
};

/** The types, as the driver wants them. */
export const JSON_TYPES = Object.fromEntries(
  Object.entries(TYPES).flatMap(([name, [type, oid, arrayOid]]) => [
    [name, { to: oid, from: [oid], ...type }],
    [`${name}_array`, { to: arrayOid, from: [arrayOid], ...arrayOf(type) }],
  ]),
);

function arrayOf(element: ScalarType): ScalarType {
  return {
    parse: (text) => parseArray(text, element.parse),
    serialize: (value) => Array.isArray(value) ? arrayLiteral(value, element) : asText(value),
  };
}

function arrayLiteral(values: unknown[], element: ScalarType): string {
  const items = values.map((value) => {
    if (value === null) return "NULL";
    if (Array.isArray(value)) return arrayLiteral(value, element);
    return `"${element.serialize(value).replace(/["\\]/g, "\\$&")}"`;
  });
  return `{${items.join(",")}}`;
}

/** The text that PostgREST makes of a value of JSON for a column that is none. */
function asText(value: unknown): string {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}

/** `2026-01-02 03:04:05.6+00` as `2026-01-02T03:04:05.6+00:00`. */
function isoTime(text: string): string {
  return text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00");
}
