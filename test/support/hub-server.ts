// A local server that speaks as much of the Hub's protocol as pulling and pushing a model need: information, listing, ranges,
// previews, LFS, commits. It can cut connections, lie, and remembers what it was asked.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const gitHash = (bytes: Buffer) => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
const isLarge = (name: string) => name.endsWith(".safetensors") || name.endsWith(".bin");

export class HubServer {
  /** Repositories by name, each its files by theirs. */
  readonly repos = new Map<string, Map<string, Buffer>>();
  /** Objects that were uploaded, by SHA-256. */
  readonly objects = new Map<string, Buffer>();
  /** `GET /me/model/resolve/…/config.json bytes=5-9`, one for each request. */
  readonly requests: string[] = [];
  /** The token that is asked for, where there is one. */
  token: string | undefined;
  /** A file of this name ends after so many bytes. */
  cut: { readonly name: string; readonly after: number } | undefined;
  /** What the listing says of a file instead of the truth. */
  lie: { readonly name: string; readonly entry: object } | undefined;
  /** The commit that every revision is. */
  commit = "c0ffee0000000000000000000000000000000000";
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      void this.answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return this.url;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = request;
    this.requests.push(`${method} ${url.split("?")[0]} ${headers.range ?? ""}`.trim());
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const json = (value: unknown, status = 200) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    if (this.token !== undefined && headers.authorization !== `Bearer ${this.token}` && !url.startsWith("/upload/"))
      return void json({ error: "who are you" }, 401);
    const [path = ""] = url.split("?");
    const of = (pattern: RegExp) => pattern.exec(path)?.slice(1);

    const upload = of(/^\/upload\/(\w+)$/);
    if (upload !== undefined) {
      if (sha256(body) !== upload[0]) return void json({ error: "another hash" }, 400);
      this.objects.set(upload[0]!, body);
      return void response.writeHead(200).end();
    }
    if (path === "/api/repos/create") {
      const { name, organization } = JSON.parse(body.toString()) as { name: string; organization: string };
      this.repos.set(`${organization}/${name}`, new Map());
      return void json({ url: `${this.url}/${organization}/${name}` });
    }
    const [repo = "", rest = ""] =
      of(/^\/api\/models\/([^/]+\/[^/]+)(.*)$/) ?? of(/^\/([^/]+\/[^/]+?)((?:\.git)?\/.*)$/) ?? [];
    const files = this.repos.get(repo);
    if (files === undefined) return void json({ error: "Repository not found" }, 404);
    if (rest === "") return void json({ id: repo });
    if (rest.startsWith("/revision/")) return void json({ _id: "1", id: repo, sha: this.commit });
    if (rest.startsWith("/tree/")) return void json([...files].map(([name, bytes]) => this.entry(name, bytes)));
    if (rest.startsWith("/resolve/")) return this.send(rest.split("/").at(-1)!, files, headers.range, response);
    if (rest.startsWith("/preupload/")) {
      const { files: asked } = JSON.parse(body.toString()) as { files: { path: string }[] };
      const modes = asked.map(({ path }) => ({ path, uploadMode: isLarge(path) ? "lfs" : "regular" }));
      return void json({ files: modes });
    }
    if (rest === ".git/info/lfs/objects/batch") {
      const { objects } = JSON.parse(body.toString()) as { objects: { oid: string; size: number }[] };
      const answers = objects.map(({ oid, size }) => ({
        oid,
        size,
        ...(this.objects.has(oid) ? {} : { actions: { upload: { href: `${this.url}/upload/${oid}` } } }),
      }));
      return void json({ transfer: "basic", objects: answers });
    }
    if (rest.startsWith("/commit/")) {
      for (const line of body.toString().split("\n")) {
        const { key, value } = JSON.parse(line) as {
          key: string;
          value: { path: string; content: string; oid: string };
        };
        if (key === "file") files.set(value.path, Buffer.from(value.content, "base64"));
        if (key === "lfsFile") files.set(value.path, this.objects.get(value.oid)!);
      }
      return void json({ commitOid: this.commit, commitUrl: `${this.url}/${repo}/commit/${this.commit}` });
    }
    json({ error: "not found" }, 404);
  }

  private entry(name: string, bytes: Buffer): object {
    const lfs = isLarge(name) ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } } : {};
    const told = this.lie?.name === name ? this.lie.entry : {};
    return { type: "file", path: name, size: bytes.length, oid: gitHash(bytes), ...lfs, ...told };
  }

  private send(name: string, files: Map<string, Buffer>, range: string | undefined, response: ServerResponse): void {
    const bytes = files.get(name);
    if (bytes === undefined) return void response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
    const [, from = "0", to = String(bytes.length - 1)] = /bytes=(\d+)-(\d+)?/.exec(range ?? "") ?? [];
    const part = bytes.subarray(Number(from), Number(to) + 1);
    response.writeHead(range === undefined ? 200 : 206, {
      etag: `"${gitHash(bytes)}"`,
      "content-length": part.length,
      ...(range === undefined ? {} : { "content-range": `bytes ${from}-${to}/${bytes.length}` }),
    });
    const { cut } = this;
    if (cut?.name !== name || part.length <= cut.after) return void response.end(part);
    response.write(part.subarray(0, cut.after), () => setTimeout(() => response.destroy(), 20));
  }
}
