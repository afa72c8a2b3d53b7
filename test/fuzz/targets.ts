/** All fuzz targets in TypeScript, by name. Those in C are native/test/fuzz_*.c. */
import type { Target } from "./target.ts";
import { argumentsTarget } from "./targets/arguments.ts";
import { configurationTarget } from "./targets/configuration.ts";
import { laneTarget } from "./targets/lane.ts";
import { packetsTarget } from "./targets/packets.ts";
import { uapiTarget } from "./targets/uapi.ts";

export const TARGETS: readonly Target[] = [
  laneTarget,
  packetsTarget,
  uapiTarget,
  configurationTarget,
  argumentsTarget,
];
