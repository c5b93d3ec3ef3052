// Runs the Supabase CLI that import_map.json pins. Only the binary package of this platform is
// fetched: the wrapper package `supabase` names one for every platform, and a registry mirror that
// lacks any of them would stop the install.

import { dirname, fromFileUrl, join } from "@std/path";
import { Fault } from "./fault.ts";

/** Folder of the checkout, without a slash at its end. */
export const PROJECT = dirname(dirname(dirname(fromFileUrl(import.meta.url))));

/** What the CLI printed. */
export interface CliOutput {
  stdout: string;
  stderr: string;
}

/** Runs `supabase <args>` on `workdir`; throws with the CLI's own text when it fails. */
export async function supabaseCli(
  args: string[],
  options: { workdir?: string; env?: Record<string, string> } = {},
): Promise<CliOutput> {
  const workdir = options.workdir ?? PROJECT;
  const child = new Deno.Command(await findBinary(), {
    args: [...args, "--workdir", workdir],
    cwd: workdir,
    env: { SUPABASE_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", NO_COLOR: "1", ...options.env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  const output = { stdout: text.decode(stdout), stderr: text.decode(stderr) };
  if (code !== 0) {
    const what = args.filter((arg) => !arg.startsWith("-")).slice(0, 2).join(" ");
    throw new Error(`supabase ${what} failed:\n${output.stdout}${output.stderr}`);
  }
  return output;
}

let binary: Promise<string> | undefined;

function findBinary(): Promise<string> {
  return binary ??= locate();
}

async function locate(): Promise<string> {
  const importMap = JSON.parse(await Deno.readTextFile(join(PROJECT, "import_map.json")));
  const version = /^npm:supabase@(.+)$/.exec(importMap.imports.supabase)?.[1];
  const cpu = { x86_64: "x64", aarch64: "arm64" }[Deno.build.arch];
  const name = `cli-${Deno.build.os}-${cpu}`;
  const path = join(
    ...[PROJECT, "node_modules", ".deno", `@supabase+${name}@${version}`],
    ...["node_modules", "@supabase", name, "bin"],
    Deno.build.os === "windows" ? "supabase.exe" : "supabase",
  );
  if (await Deno.stat(path).then(() => true, () => false)) return path;
  try {
    // Importing any file of the package makes Deno install it into node_modules.
    await import(`npm:@supabase/${name}@${version}/package.json`, { with: { type: "json" } });
  } catch (error) {
    throw new Fault(`Cannot install the Supabase CLI ${version} for ${name}: ${error}`);
  }
  await Deno.chmod(path, 0o755).catch(() => {}); // Windows has no modes
  return path;
}
