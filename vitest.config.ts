import { defineConfig, type ViteUserConfig } from "vitest/config";

/** End to end, and nothing in them hangs on speed: they wait for timers, or for programs to start. */
const WAITING = [
  "boot*",
  "bus*",
  "census",
  "cookie",
  "grid",
  "nat-keepalive",
  "node-*",
  "quickstart",
  "registry*",
  "rekey",
  "suspend",
].map((name) => `test/e2e/${name}.test.ts`);

/**
 * Three projects: `unit` needs nothing but Node; `e2e` and `waiting` need root, the built `dist/` and the real tools (ip, wg,
 * wireguard-go, iperf3), and run their files one after the other, since they share the machine's cores. `npm test` runs `waiting` beside
 * `e2e`.
 */
const config: ViteUserConfig = defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/{unit,property,sim,native,tidy,fuzz}/**/*.test.ts", "test/*.test.ts"],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: WAITING,
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "waiting",
          include: WAITING,
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});

export default config;
