// Whether a file is of the type it is said to be, found in its bytes while they pass by.

import { JSONParser, TokenType } from "@streamparser/json";
import { fileTypeFromBuffer } from "file-type";

/** Types of files that a record may have, each with the ending that its name gets. */
export const FILE_TYPES = {
  "application/pdf": "pdf",
  "image/jpeg": "jpg",
  "image/png": "png",
  "application/dicom": "dcm",
  "text/plain": "txt",
  "application/json": "json",
} as const;

export type FileType = keyof typeof FILE_TYPES;

export function isFileType(text: string): text is FileType {
  return Object.hasOwn(FILE_TYPES, text);
}

/** Is fed a file piece by piece and says at its end whether it is of the type. */
export interface TypeCheck {
  push(chunk: Uint8Array): void;
  matches(): Promise<boolean>;
}

/** Starts the check for a type. It keeps the first bytes at most, whatever the size of the file. */
export function checkType(type: FileType): TypeCheck {
  if (type === "text/plain") return all(startOf(isNoBinary), plainText());
  if (type === "application/json") return all(startOf(isNoBinary), plainText(), json());
  return startOf((head) => isBinary(head, type));
}

/** Bytes by which a format is told. */
const HEAD_BYTES = 4_100;
/** A DICOM file says so after a preamble of this length. */
const DICOM_PREAMBLE_BYTES = 128;

/** A check of the first bytes. */
function startOf(test: (head: Uint8Array) => Promise<boolean>): TypeCheck {
  const head = new Uint8Array(HEAD_BYTES);
  let length = 0;
  return {
    push(chunk) {
      const part = chunk.subarray(0, HEAD_BYTES - length);
      head.set(part, length);
      length += part.length;
    },
    matches: () => test(head.subarray(0, length)),
  };
}

async function isBinary(head: Uint8Array, type: FileType): Promise<boolean> {
  const found = await fileTypeFromBuffer(head);
  if (type !== "application/dicom") return found?.mime === type;
  // The preamble may hold a TIFF header, for viewers of either kind, but no other file: a program
  // in the preamble makes a file that is an image to one system and runs on another.
  const is_plain = found?.mime === "application/dicom";
  return is_plain || (found?.mime === "image/tiff" && hasDicomMark(head));
}

function hasDicomMark(head: Uint8Array): boolean {
  const mark = head.subarray(DICOM_PREAMBLE_BYTES, DICOM_PREAMBLE_BYTES + 4);
  return new TextDecoder("latin1").decode(mark) === "DICM";
}

/** A file that reads as text may still be a PDF, which may be written in plain characters. */
async function isNoBinary(head: Uint8Array): Promise<boolean> {
  const found = await fileTypeFromBuffer(head);
  return found === undefined || !isFileType(found.mime);
}

/** UTF-8 without control characters but tab, line feed, form feed and carriage return. */
function plainText(): TypeCheck {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  const control = /[\u0000-\u0008\u000b\u000e-\u001f\u007f-\u009f]/;
  return untilFailure(
    (chunk) => !control.test(decoder.decode(chunk, { stream: true })),
    () => !control.test(decoder.decode()),
  );
}

/** Deepest nesting of a JSON file. */
const MAX_JSON_FILE_DEPTH = 500;

/** One JSON value and nothing after it. */
function json(): TypeCheck {
  // No path is asked for, so no value is kept.
  const parser = new JSONParser({ paths: ["$.none"], keepStack: false });
  let depth = 0;
  let has_token = false;
  parser.onToken = ({ token }) => {
    has_token = true;
    if (token === TokenType.LEFT_BRACE || token === TokenType.LEFT_BRACKET) depth++;
    if (token === TokenType.RIGHT_BRACE || token === TokenType.RIGHT_BRACKET) depth--;
    if (depth > MAX_JSON_FILE_DEPTH) throw new Error("The nesting is too deep");
  };
  return untilFailure(
    (chunk) => {
      parser.write(chunk);
      return true;
    },
    () => {
      if (!parser.isEnded) parser.end();
      return has_token && parser.isEnded;
    },
  );
}

/** A check that stops at the first piece that is wrong, whether it says so or throws. */
function untilFailure(
  read: (chunk: Uint8Array) => boolean,
  end: () => boolean,
): TypeCheck {
  let holds = true;
  const attempt = (step: () => boolean) => {
    try {
      return step();
    } catch {
      return false;
    }
  };
  return {
    push(chunk) {
      holds &&= attempt(() => read(chunk));
    },
    matches: () => Promise.resolve(holds && attempt(end)),
  };
}

function all(...checks: TypeCheck[]): TypeCheck {
  return {
    push: (chunk) => checks.forEach((check) => check.push(chunk)),
    matches: async () => (await Promise.all(checks.map((check) => check.matches()))).every(Boolean),
  };
}
