import { availableParallelism } from "node:os";
import { defineConfig, type ViteUserConfig } from "vitest/config";

const files = (...names: string[]) => names.map((name) => `test/e2e/${name}.test.ts`);

/** End to end, and nothing in these two hangs on speed: they wait for timers, or for programs to start. */
const NODE = files("boot*", "census", "grid", "node-*");
const WAITING = files(
  "bus*",
  "cookie",
  "nat-keepalive",
  "quickstart",
  "registry*",
  "rekey",
  "suspend",
);

/**
 * `unit` needs nothing but Node; `e2e`, `node` and `waiting` need root, the built `dist/` and the real tools (ip, wg, wireguard-go,
 * iperf3), and run their files one after the other, since they share the machine's cores. `npm test` runs these three side by side.
 */
const config: ViteUserConfig = defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/{unit,property,sim,native,tidy,fuzz}/**/*.test.ts", "test/*.test.ts"],
          testTimeout: 60_000,
          // Vitest's own default leaves a core free, of two.
          maxWorkers: availableParallelism(),
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: [...NODE, ...WAITING],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "node",
          include: NODE,
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
