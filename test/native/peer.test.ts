/** Who is at the other end of a Unix socket, as the kernel tells it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { loadNative } from "../../src/io/load-native.ts";
import { skip } from "../e2e/harness/skip.ts";

const native = loadNative();
const UID = 4_001;
const GID = 4_002;
const GROUPS = [4_003, 4_004];
/** Becomes another user, with groups of its own, and connects. */
const CLIENT = `
  process.setgroups(${JSON.stringify(GROUPS)});
  process.setgid(${GID});
  process.setuid(${UID});
  require("node:net").connect(process.argv[1]);
`;

function credentials(socket: Socket, room: number): { groups: number; told: number[] } {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const out = new Int32Array(room);
  const groups = native.peerCredentials(fd, out);
  return { groups, told: Array.from(out) };
}

it("tells process, user and all groups of a peer", async (context) => {
  if (process.getuid?.() !== 0) skip(context, "only root can become another user");
  const folder = mkdtempSync(join(tmpdir(), "wirehaul-peer-"));
  chmodSync(folder, 0o755);
  const path = join(folder, "socket");
  const server = createServer().listen({ path, writableAll: true });
  await once(server, "listening");
  const client = spawn(process.execPath, ["-e", CLIENT, path], { stdio: "inherit" });
  try {
    const [socket] = (await once(server, "connection")) as [Socket];
    const who = [client.pid, UID, GID];
    expect(credentials(socket, 8)).toEqual({ groups: 2, told: [...who, ...GROUPS, 0, 0, 0] });
    // No room for all: none is told, rather than some.
    expect(credentials(socket, 4)).toEqual({ groups: 0, told: [...who, 0] });
    expect(credentials(socket, 3)).toEqual({ groups: 0, told: who });
    expect(credentials(socket, 2).groups).toBe(-22);
    socket.destroy();
  } finally {
    client.kill("SIGKILL");
    server.close();
    rmSync(folder, { recursive: true });
  }
});
