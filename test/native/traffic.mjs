/**
 * Run by tun.test.ts inside a network namespace: `traffic.mjs <role> <address>`; prints "ready" when it listens,
 * then one line of JSON with what arrived.
 */
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";

const [role, address] = process.argv.slice(2);
const BYTES = 24 << 20;
const DATAGRAMS = 2000;
/** So many are on their way at most: they fit into the smallest of the kernel's queues, so none is lost however slow a side is. */
const BURST = 20;
const BURST_LIMIT_MS = 10_000;

function chunk(index) {
  return Buffer.alloc(65536, createHash("sha256").update(String(index)).digest());
}

const family = address.includes(":") ? "udp6" : "udp4";

switch (role) {
  case "tcp-server": {
    const hash = createHash("sha256");
    let bytes = 0;
    const server = createServer((socket) => {
      socket.on("data", (data) => {
        hash.update(data);
        bytes += data.length;
      });
      socket.on("end", () => {
        console.log(JSON.stringify({ bytes, hash: hash.digest("hex") }));
        socket.end();
        server.close();
      });
    });
    server.listen(7000, address, () => console.log("ready"));
    break;
  }
  case "tcp-client": {
    const hash = createHash("sha256");
    const socket = connect(7000, address, async () => {
      for (let i = 0; i * 65536 < BYTES; i++) {
        const data = chunk(i);
        hash.update(data);
        if (!socket.write(data)) await new Promise((resolve) => socket.once("drain", resolve));
      }
      console.log(JSON.stringify({ bytes: BYTES, hash: hash.digest("hex") }));
      socket.end();
    });
    break;
  }
  case "udp-server": {
    const socket = createSocket({ type: family, recvBufferSize: 4 << 20 });
    let good = 0;
    let bad = 0;
    socket.on("message", (data, { address: from, port }) => {
      if (data[0] === 0xff) {
        console.log(JSON.stringify({ good, bad }));
        socket.close();
        return;
      }
      const size = 200 + (data.readUInt16BE(1) % 10 === 9 ? 50 : 1000);
      if (data.length === size && data.subarray(3).every((byte) => byte === data[2])) good++;
      else bad++;
      if ((good + bad) % BURST === 0) socket.send("more", port, from);
    });
    socket.bind(7000, address, () => console.log("ready"));
    break;
  }
  case "udp-client": {
    const socket = createSocket(family);
    socket.on("error", () => {}); // the server leaves at the first end mark
    await new Promise((resolve) => socket.connect(7000, address, resolve));
    for (let i = 0; i < DATAGRAMS; i++) {
      const data = Buffer.alloc(200 + (i % 10 === 9 ? 50 : 1000), i & 0xff);
      data[0] = 0;
      data.writeUInt16BE(i, 1);
      socket.send(data);
      if (i % BURST !== BURST - 1) continue;
      // One that is lost is for the server to tell.
      const limit = AbortSignal.timeout(BURST_LIMIT_MS);
      const more = once(socket, "message", { signal: limit });
      if ((await more.catch(() => undefined)) === undefined) break;
    }
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      socket.send(Buffer.from([0xff]));
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.close();
    break;
  }
}
