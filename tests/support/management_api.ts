// A local double of the part of Supabase's management API that `supabase functions deploy --use-api`
// calls. It keeps what was uploaded.

import { z } from "zod";

/** One function as it was uploaded. */
export interface Upload {
  slug: string;
  /** Contents by path, for example `functions/records/index.ts`. */
  files: Map<string, Uint8Array<ArrayBuffer>>;
  metadata: z.infer<typeof Metadata>;
}

const Metadata = z.object({
  name: z.string(),
  entrypoint_path: z.string(),
  import_map_path: z.string(),
  verify_jwt: z.boolean(),
});

/** The double while it runs. */
export interface ManagementApi {
  url: string;
  /** What was uploaded, in order of arrival. */
  uploads: Upload[];
  stop: () => Promise<void>;
}

/** Starts the double on a free port; it takes uploads to one project with one token. */
export function startManagementApi(project: string, token: string): ManagementApi {
  const uploads: Upload[] = [];
  const base = `/v1/projects/${project}`;
  const describe = ({ slug, metadata }: Upload) => ({
    id: crypto.randomUUID(),
    slug,
    name: metadata.name,
    status: "ACTIVE",
    version: 1,
    created_at: 0,
    updated_at: 0,
    verify_jwt: metadata.verify_jwt,
  });
  const handle = async (request: Request): Promise<Response> => {
    const { pathname, searchParams } = new URL(request.url);
    if (request.headers.get("authorization") !== `Bearer ${token}`) {
      return Response.json({ message: "Unauthorized" }, { status: 401 });
    }
    if (request.method === "POST" && pathname === `${base}/functions/deploy`) {
      const upload = await readUpload(searchParams.get("slug") ?? "", await request.formData());
      uploads.push(upload);
      return Response.json(describe(upload), { status: 201 });
    }
    if (request.method === "PUT" && pathname === `${base}/functions`) {
      return Response.json({ functions: uploads.map(describe) });
    }
    if (request.method === "GET" && pathname === `${base}/functions`) {
      return Response.json(uploads.map(describe));
    }
    return Response.json({ message: "Not found" }, { status: 404 });
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, handle);
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    uploads,
    stop: () => server.shutdown(),
  };
}

async function readUpload(slug: string, form: FormData): Promise<Upload> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const file of form.getAll("file")) {
    if (file instanceof File) files.set(file.name, await file.bytes());
  }
  return { slug, files, metadata: Metadata.parse(JSON.parse(String(form.get("metadata")))) };
}
