// Filters of postgres_changes: how they are read, what cannot be read, and the SQL that they become.

import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import {
  type ChangeFilter,
  FilterFault,
  type FilterOperator,
  filterSql,
  parseFilters,
} from "../../supabase/local/realtime/change_filters.ts";

/** A condition in short. */
function condition(column: string, operator: FilterOperator, value: string, isNegated = false) {
  return { column, operator, value, isNegated };
}

const READ: [text: string, filters: ChangeFilter[]][] = [
  ["", []],
  ["   ", []],
  ["id=eq.1", [condition("id", "eq", "1")]],
  [" id=eq.1 ", [condition("id", "eq", "1")]],
  ["id=gt.0,id=lte.100", [condition("id", "gt", "0"), condition("id", "lte", "100")]],
  ["name=not.like.hey%", [condition("name", "like", "hey%", true)]],
  ["a=is.null,b=not.is.true", [condition("a", "is", "null"), condition("b", "is", "true", true)]],
  ["a=isdistinct.x", [condition("a", "isdistinct", "x")]],
  ["at=gte.2026-08-01T10:00:00.5Z", [condition("at", "gte", "2026-08-01T10:00:00.5Z")]],
  ["name=eq.", [condition("name", "eq", "")]],
  ["name=eq.a=b", [condition("name", "eq", "a=b")]],
  ["name=in.(a,b),id=eq.1", [condition("name", "in", "{a,b}"), condition("id", "eq", "1")]],
  ["name=in.()", [condition("name", "in", "{}")]],
  ['name=not.in.("a,b","c)d")', [condition("name", "in", '{"a,b","c)d"}', true)]],
  ['name=eq."a,b",id=eq.1', [condition("name", "eq", "a,b"), condition("id", "eq", "1")]],
  ['name=eq."say \\"hi\\" \\\\"', [condition("name", "eq", 'say "hi" \\')]],
  ['name=eq."a"b', [condition("name", "eq", '"a"b')]],
  ['name=eq.a"b,id=eq.1', [condition("name", "eq", 'a"b'), condition("id", "eq", "1")]],
  ["name=imatch.^(a|b),id=eq.1", [
    condition("name", "imatch", "^(a|b)"),
    condition("id", "eq", "1"),
  ]],
];

Deno.test("filters: what clients send is read", () => {
  for (const [text, filters] of READ) assertEquals(parseFilters(text), filters, text);
});

const UNREAD: [text: string, reason: string][] = [
  ["undefined", '["undefined"]'],
  ["id=eq", '["eq"]'],
  ["subject=foo.hey", '["foo", "hey"]'],
  ["subject=not.foo.hey", '["foo", "hey"]'],
  ["subject=toString.hey", '["toString", "hey"]'],
  ["subject=in.a,b", "`in` filter value must be wrapped by parentheses"],
  ["subject=in.(", "`in` filter value must be wrapped by parentheses"],
  ["id=eq.1,", "filter must not contain empty segments (check for extra commas)"],
  [",id=eq.1", "filter must not contain empty segments (check for extra commas)"],
];

Deno.test("filters: what cannot be read is refused in the words of the hosted service", () => {
  for (const [text, reason] of UNREAD) {
    const fault = assertThrows(() => parseFilters(text), FilterFault);
    assertEquals(fault.message, `Error parsing \`filter\` params: ${reason}`);
  }
});

Deno.test("filters: any value that is quoted comes out as it was", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), (value) => {
    const quoted = `"${value.replace(/["\\]/g, "\\$&")}"`;
    assertEquals(parseFilters(`a=eq.${quoted},b=neq.${quoted}`), [
      condition("a", "eq", value),
      condition("b", "neq", value),
    ]);
  }));
});

Deno.test("filters: no text makes more than a fault", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    try {
      parseFilters(text);
    } catch (error) {
      if (!(error instanceof FilterFault)) throw error;
    }
  }));
});

Deno.test("filters: the SQL has no text of the client's", () => {
  const sql = (operator: FilterOperator, isNegated: boolean, value = "'; drop table t") =>
    filterSql({ operator, isNegated, value }, "integer", "u.v", "$1");
  assertEquals(sql("eq", false), "((u.v)::integer = ($1)::integer)");
  assertEquals(sql("neq", true), "not ((u.v)::integer <> ($1)::integer)");
  assertEquals(sql("in", false), "((u.v)::integer = any (($1)::integer[]))");
  assertEquals(sql("isdistinct", true), "(u.v)::integer is not distinct from ($1)::integer");
  assertEquals(sql("is", true, "null"), "(u.v)::integer is not null");
  assertThrows(() => sql("is", false), FilterFault);
});
