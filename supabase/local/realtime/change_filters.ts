// Filters of postgres_changes: `column=op.value`, several with commas between them, of which all must
// hold. Values may be quoted as PostgREST quotes them. Pure; PostgreSQL compares, as the column's type.

const OPERATORS = {
  eq: "=",
  neq: "<>",
  lt: "<",
  lte: "<=",
  gt: ">",
  gte: ">=",
  in: "= any",
  like: "like",
  ilike: "ilike",
  match: "~",
  imatch: "~*",
  is: "is",
  isdistinct: "is distinct from",
} as const;

/** Name of an operator. */
export type FilterOperator = keyof typeof OPERATORS;

/** One condition. */
export interface ChangeFilter {
  column: string;
  operator: FilterOperator;
  /** Without quotes; of `in`, the literal of an array. */
  value: string;
  /** Whether it holds where the condition does not. */
  isNegated: boolean;
}

/** A filter that cannot be read; the message is hosted Realtime's. */
export class FilterFault extends Error {
  override readonly name = "FilterFault";
  constructor(reason: string) {
    super(`Error parsing \`filter\` params: ${reason}`);
  }
}

/**
 * Reads a filter; one of blanks has no conditions.
 *
 * @throws {FilterFault}
 *
 * @example
 * parseFilters("id=gt.5,name=not.in.(a,b)");
 * // [{ column: "id", operator: "gt", value: "5", isNegated: false },
 * //  { column: "name", operator: "in", value: "{a,b}", isNegated: true }]
 */
export function parseFilters(text: string): ChangeFilter[] {
  return text.trim() === "" ? [] : splitConditions(text.trim()).map(parseCondition);
}

/** Splits at the commas that are in no quotes and no parentheses. */
function splitConditions(text: string): string[] {
  const conditions: string[] = [];
  let from = 0;
  let depth = 0;
  let isQuoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (isQuoted) {
      if (char === "\\") i++;
      else if (char === '"') isQuoted = false;
    } else if (char === '"') {
      // Quotes begin where a value does; elsewhere they are part of it.
      isQuoted = i > from && ".(,".includes(text[i - 1]!);
    } else if (char === "(") {
      depth++;
    } else if (char === ")") {
      depth = Math.max(0, depth - 1);
    } else if (char === "," && depth === 0) {
      conditions.push(text.slice(from, i));
      from = i + 1;
    }
  }
  return [...conditions, text.slice(from)];
}

function parseCondition(text: string): ChangeFilter {
  const condition = text.trim();
  if (condition === "") {
    throw new FilterFault("filter must not contain empty segments (check for extra commas)");
  }
  const [column, rest] = cut(condition, "=");
  if (rest === undefined) throw new FilterFault(listed(column));
  const isNegated = rest.startsWith("not.");
  const [operator, value] = cut(isNegated ? rest.slice("not.".length) : rest, ".");
  if (value === undefined) throw new FilterFault(listed(operator));
  if (!isOperator(operator)) throw new FilterFault(listed(operator, value));
  return {
    column,
    operator,
    value: operator === "in" ? arrayLiteral(value) : unquote(value),
    isNegated,
  };
}

function cut(text: string, separator: string): [before: string, after: string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function isOperator(name: string): name is FilterOperator {
  return Object.hasOwn(OPERATORS, name);
}

/** Texts as hosted Realtime lists them. */
export function listed(...texts: string[]): string {
  return `[${texts.map((text) => JSON.stringify(text)).join(", ")}]`;
}

/** An array literal has the quotes of PostgREST's lists. */
function arrayLiteral(value: string): string {
  if (value.length < 2 || !value.startsWith("(") || !value.endsWith(")")) {
    throw new FilterFault("`in` filter value must be wrapped by parentheses");
  }
  return `{${value.slice(1, -1)}}`;
}

/** Text without the quotes around it; a text that does not end with the closing one is as it is. */
function unquote(value: string): string {
  return /^"(?:[^"\\]|\\.)*"$/s.test(value) ? value.slice(1, -1).replace(/\\(.)/gs, "$1") : value;
}

/** Words that `is` compares with. */
export const IS_WORDS = ["null", "true", "false", "unknown"];

/**
 * The condition as SQL, of two expressions of type text: the row's value and the filter's.
 *
 * @param type The column's type as SQL writes it, without a length, which would cut what is compared.
 */
export function filterSql(
  { operator, value, isNegated }: Pick<ChangeFilter, "operator" | "value" | "isNegated">,
  type: string,
  rowValue: string,
  filterValue: string,
): string {
  const left = `(${rowValue})::${type}`;
  if (operator === "is") {
    if (!IS_WORDS.includes(value)) throw new FilterFault(`unknown word ${listed(value)}`);
    return `${left} is ${isNegated ? "not " : ""}${value}`;
  }
  if (operator === "isdistinct") {
    return `${left} is ${isNegated ? "not " : ""}distinct from (${filterValue})::${type}`;
  }
  const right = operator === "in" ? `((${filterValue})::${type}[])` : `(${filterValue})::${type}`;
  const condition = `(${left} ${OPERATORS[operator]} ${right})`;
  return isNegated ? `not ${condition}` : condition;
}
