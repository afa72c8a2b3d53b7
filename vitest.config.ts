import { defineConfig, type ViteUserConfig } from "vitest/config";

/**
 * Two projects: `unit` needs nothing but Node; `e2e` needs root, the built `dist/` and the real tools
 * (ip, wg, wireguard-go, iperf3), and runs its files one after the other, since they share the machine's cores.
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
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});

export default config;
