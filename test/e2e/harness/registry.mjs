/**
 * As much of a registry as booting needs: `node registry.mjs ADDRESS... ` answers on port 80 of each address, and prints each census
 * that it gets as a line of JSON. With STATUS in the environment it answers everything with that.
 */
import { createServer } from "node:http";
import { text } from "node:stream/consumers";

const status = Number(process.env.STATUS ?? 200);
let waiting = process.argv.length - 2;
for (const host of process.argv.slice(2)) {
  const server = createServer(async (request, response) => {
    const body = await text(request);
    if (request.method === "POST" && status === 200) {
      process.stdout.write(
        `${JSON.stringify({ path: request.url, from: request.socket.remoteAddress, body: JSON.parse(body) })}\n`,
      );
    }
    response.writeHead(status, status === 302 ? { location: "http://login.example/" } : {});
    response.end();
  });
  server.listen({ host, port: 80 }, () => {
    waiting -= 1;
    if (waiting === 0) process.stdout.write("listening\n");
  });
}
