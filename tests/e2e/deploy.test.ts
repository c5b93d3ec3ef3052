// What `supabase functions deploy` uploads is whole: for every function of config.toml the uploaded
// files alone, in an empty folder, type-check and answer. The management API is a local double.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { dirname, join } from "@std/path";
import { parse } from "@std/toml";
import { PROJECT, supabaseCli } from "../../supabase/local/cli.ts";
import { freePort, withFolder } from "../../tools/throwaway.ts";
import { testEnv } from "../support/env.ts";
import { startManagementApi, type Upload } from "../support/management_api.ts";
import { until } from "../support/stack_process.ts";

const PROJECT_REF = "abcdefghijklmnopqrst";
const TOKEN = `sbp_${"0123456789abcdef".repeat(3).slice(0, 40)}`;

const declared = parse(await Deno.readTextFile(join(PROJECT, "supabase", "config.toml"))) as {
  functions: Record<string, { entrypoint: string; verify_jwt: boolean }>;
};
const names = Object.keys(declared.functions);

/** Deploys every function of config.toml to the double and answers what it got. */
async function deployAll(token: string): Promise<Upload[]> {
  const api = startManagementApi(PROJECT_REF, TOKEN);
  try {
    await withFolder(async (folder) => {
      const profile = join(folder, "profile.yaml");
      await Deno.writeTextFile(
        profile,
        [
          "name: double",
          `api_url: ${api.url}`,
          `dashboard_url: ${api.url}`,
          `docs_url: ${api.url}`,
          "project_host: example.test",
        ].join("\n"),
      );
      await supabaseCli([
        ...["functions", "deploy", "--use-api", `--remote=${PROJECT_REF}`],
        ...["--profile", profile, "--yes"],
      ], { env: { SUPABASE_ACCESS_TOKEN: token } });
    });
    return api.uploads;
  } finally {
    await api.stop();
  }
}

/** Runs `work` in a folder that holds the uploaded files and nothing else. */
async function withUploaded(upload: Upload, work: (folder: string) => Promise<void>) {
  await withFolder(async (folder) => {
    for (const [path, bytes] of upload.files) {
      await Deno.mkdir(dirname(join(folder, path)), { recursive: true });
      await Deno.writeFile(join(folder, path), bytes);
    }
    await work(folder);
  });
}

/** Arguments of deno that keep it to the folder's own import map. */
function alone({ metadata }: Upload): string[] {
  return ["--no-lock", "--no-config", `--import-map=${metadata.import_map_path}`];
}

Deno.test("the deployment uploads every function of config.toml, and only what functions need", async (t) => {
  const uploads = await deployAll(TOKEN);
  assertEquals(uploads.map(({ slug }) => slug).sort(), names.sort());

  for (const upload of uploads) {
    await t.step(`${upload.slug} is uploaded as config.toml says`, () => {
      const { entrypoint, verify_jwt } = declared.functions[upload.slug]!;
      assertEquals(upload.metadata.entrypoint_path, entrypoint.replace("../", ""));
      assertEquals(upload.metadata.verify_jwt, verify_jwt);
      assert(upload.files.has(upload.metadata.entrypoint_path));
      const own = RegExp(
        `^(import_map\\.json|clients/blf1\\.ts|functions/(_shared|${upload.slug})/[\\w./-]+)$`,
      );
      assertEquals([...upload.files.keys()].filter((path) => !own.test(path)), []);
    });

    await withUploaded(upload, async (folder) => {
      await t.step(`${upload.slug}, as uploaded, type-checks`, async () => {
        const { success, stderr } = await new Deno.Command(Deno.execPath(), {
          args: ["check", "--quiet", ...alone(upload), upload.metadata.entrypoint_path],
          cwd: folder,
          env: { NO_COLOR: "1" },
        }).output();
        assert(success, new TextDecoder().decode(stderr));
      });

      await t.step(`${upload.slug}, as uploaded, answers`, () => answers(upload, folder));
    });
  }
});

/** Serves the uploaded files with the stack's environment, as the hosted runtime would. */
async function answers(upload: Upload, folder: string): Promise<void> {
  const { url, publishableKey, secretKey, dbUrl } = testEnv();
  const port = freePort();
  const server = new Deno.Command(Deno.execPath(), {
    args: [
      ...["serve", "-A", "--quiet", "--no-check", `--port=${port}`, "--host=127.0.0.1"],
      ...alone(upload),
      upload.metadata.entrypoint_path,
    ],
    cwd: folder,
    env: {
      SUPABASE_URL: url,
      SUPABASE_DB_URL: dbUrl ?? "postgresql://postgres:postgres@127.0.0.1:1/postgres",
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: publishableKey }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: secretKey }),
      KEY_ENCRYPTION_KEYS: `test.v1=${new Uint8Array(32).toBase64()}`,
      BLIND_INDEX_KEY: new Uint8Array(32).toBase64(),
    },
    stdin: "null",
  }).spawn();
  const base = `http://127.0.0.1:${port}`;
  try {
    await until(() =>
      fetch(base).then((response) => response.body?.cancel()).then(() => true, () => false)
    );

    const document = await fetch(`${base}/${upload.slug}/openapi.json`);
    assertEquals(document.status, 200);
    const { openapi, paths } = await document.json();
    assertEquals(openapi, "3.1.0");
    const path = Object.keys(paths).find((path) => paths[path].post);
    if (!path) throw new Error(`${upload.slug} describes no POST`);

    const id = crypto.randomUUID();
    const address = path.replaceAll(/\{\w+\}/g, id);
    const inside = address.startsWith(`/${upload.slug}`) ? address : `/${upload.slug}${address}`;
    const refused = await fetch(base + inside, { method: "POST", body: "{}" });
    assertEquals(refused.status, 401);
    assertEquals((await refused.json()).error.code, "unauthenticated");
  } finally {
    server.kill("SIGKILL"); // it would wait for connections that the client keeps
    await server.status;
  }
}

Deno.test("a deployment with a wrong token uploads nothing and says so", async () => {
  const wrong = TOKEN.replace("0", "f");
  const error = await assertRejects(() => deployAll(wrong), Error);
  assert(/401|unauthorized/i.test(error.message), error.message);
});
