/**
 * What the API answers, as zod schemas: for its description, and for tests that hold real answers against them. Strict: what is not
 * named here is not in an answer, secrets among it. The API itself answers without asking them.
 */
import { z } from "zod";
import type { InterfaceStatus, PeerStatus } from "../../lane/status.ts";
import type { PortLease } from "../model/desired-state.ts";
import { censusSchema, type Nic } from "../model/nic.ts";
import { nodeConfigSchema } from "../model/node-config.ts";
import { reachabilitySchema } from "../model/reachability.ts";
import { type Workload, workloadSchema } from "../model/workload.ts";
import type { AgentStatus, BusStatus } from "../node/agent.ts";
import type { BootStatus } from "../node/boot/boot.ts";
import type { ConfigurationStatus } from "../node/configuration.ts";
import type { Explanation } from "../node/explain.ts";
import type { GridStatus } from "../node/grid/grid.ts";
import type { DryRun } from "../node/networks.ts";
import type { PortList } from "../node/ports.ts";
import type { NetworkDetails, NetworkSummary } from "../node/view.ts";

const text = z.string();
const texts = z.array(text);
const count = z.int().min(0);
/** Milliseconds since 1970. */
const time = z.number().min(0);
const port = z.int().min(0).max(65_535);
const counts = z.record(text, count);

const boot: z.ZodType<BootStatus> = z.strictObject({
  state: z.enum([
    "starting",
    "waiting for a NIC",
    "probing",
    "attaching",
    "checking",
    "online",
    "offline",
    "blocked",
    "stopped",
  ]),
  why: text,
  internet: z.boolean(),
  uplink: z
    .strictObject({
      nic: text,
      bridge: text,
      carrier: z.boolean(),
      speedMbps: z.number().optional(),
      mtu: count,
      addresses: texts,
      gateway4: text.optional(),
      gateway6: text.optional(),
      dns: texts,
      addressing: text,
      isServerAway: z.boolean(),
    })
    .optional(),
  nics: z.array(
    z.strictObject({
      nic: text,
      rank: count.optional(),
      why: text,
      criteria: z.array(
        z.strictObject({
          name: z.enum(["operator", "registry", "hosts", "gateway", "family", "speed", "name"]),
          value: z.union([z.number(), text]),
          text,
        }),
      ),
    }),
  ),
  answers: z.array(
    z.strictObject({
      url: text,
      families: z.array(z.union([z.literal(4), z.literal(6)])),
      fault: text.optional(),
    }),
  ),
});

export const configurationAnswer: z.ZodType<ConfigurationStatus, unknown> = z.strictObject({
  state: z.enum(["applied", "on probation", "rolled back", "failing"]),
  why: text,
  config: nodeConfigSchema,
});

const bus: z.ZodType<BusStatus> = z.strictObject({
  address: text,
  isConnected: z.boolean(),
  why: text,
  calls: count,
  errors: count,
  busy: count,
  drops: counts,
});

const grid: z.ZodType<GridStatus> = z.strictObject({
  registry: text,
  node: text,
  farm: count,
  state: z.enum(["unregistered", "pending", "approved", "deleted", "old"]),
  why: text,
  revision: count.nullable(),
  lag: count,
  heardMs: time.nullable(),
  networks: count,
  problems: z.array(z.strictObject({ network: text, problem: text })),
});

export const statusAnswer: z.ZodType<AgentStatus, unknown> = z.strictObject({
  boot: boot.nullable(),
  configuration: configurationAnswer.nullable(),
  reachability: reachabilitySchema.nullable(),
  isCensusPublished: z.boolean(),
  grid: grid.nullable(),
  bus: bus.nullable(),
  networks: count,
  problems: z.array(z.strictObject({ network: text, problem: text })),
});

export const nicsAnswer: z.ZodType<readonly Nic[]> = censusSchema;

const summary = {
  id: text,
  name: text,
  owner: text,
  revision: count,
  publicKey: text,
  listenPort: port,
  workloads: count,
  problem: text.nullable(),
};

export const networkAnswer: z.ZodType<NetworkSummary> = z.strictObject(summary);
export const networksAnswer: z.ZodType<readonly NetworkSummary[]> = z.array(networkAnswer);

const resource: z.ZodType<NetworkDetails["resource"]> = z.strictObject({
  id: text,
  name: text,
  owner: text,
  range: text,
  subnet: text,
  subnet6: text.optional(),
  range6: text.optional(),
  tunnelAddresses: texts,
  listenPort: port.optional(),
  mtu: count.optional(),
  internet: z.boolean(),
  lan: texts,
  peers: z.array(
    z.strictObject({
      publicKey: text,
      hasPresharedKey: z.boolean(),
      endpoint: text.optional(),
      candidates: texts.optional(),
      allowedIps: texts,
      keepalive: z.union([z.literal("auto"), count]),
      subnet: text.optional(),
    }),
  ),
  revision: count,
});

const peer: z.ZodType<PeerStatus> = z.strictObject({
  publicKey: text,
  endpoint: text.nullable(),
  family: z.enum(["IPv4", "IPv6"]).nullable(),
  source: text.nullable(),
  lastHandshakeMs: time,
  handshakes: count,
  initiations: count,
  attempts: count,
  sessions: z.array(z.enum(["previous", "current", "next"])),
  stagedPackets: count,
  rxBytes: count,
  txBytes: count,
  sendErrors: count,
  lastSendError: z.int(),
});

const device: z.ZodType<InterfaceStatus> = z.strictObject({
  name: text,
  isUp: z.boolean(),
  mtu: count,
  listenPort: port,
  crypto: text,
  lanes: count,
  offload: count,
  segments: z.boolean(),
  handshakeQueue: count,
  isUnderLoad: z.boolean(),
  shedding: text.nullable(),
  floods: count,
  handshakesPooled: count,
  drops: counts,
  lane: z.strictObject({
    receiveCalls: count,
    datagramsReceived: count,
    sendCalls: count,
    groupsSent: count,
    datagramsSent: count,
    readCalls: count,
    packetsRead: count,
    writeCalls: count,
    packetsWritten: count,
  }),
  socketDrops: count,
  laneDrops: counts,
  timers: count,
  indexes: count,
  process: z.strictObject({
    pid: count,
    residentBytes: count,
    heapBytes: count,
    laneHeapBytes: count,
    descriptors: count,
    threads: count,
  }),
  peers: z.array(peer),
});

export const networkDetailsAnswer: z.ZodType<NetworkDetails> = z.strictObject({
  ...summary,
  resource,
  namespace: text,
  gateway: text,
  gateway6: text.nullable(),
  attached: z.array(workloadSchema),
  device: device.nullable(),
});

export const workloadAnswer: z.ZodType<Workload> = workloadSchema;

export const planAnswer: z.ZodType<readonly DryRun[]> = z.array(
  z.strictObject({ network: text, actions: texts }),
);

export const leaseAnswer: z.ZodType<PortLease> = z.strictObject({
  port,
  holder: text,
  expiresMs: time,
});

export const portsAnswer: z.ZodType<PortList> = z.strictObject({
  used: z.array(z.strictObject({ port, network: text })),
  leases: z.array(leaseAnswer),
  reserved: z.array(port),
});

export const explainAnswer: z.ZodType<readonly Explanation[]> = z.array(
  z.strictObject({
    network: text,
    way: z.enum(["local", "peer", "internet", "blocked"]),
    peer: text.nullable(),
    prefix: text.nullable(),
    endpoint: text.nullable(),
    lastHandshakeMs: time,
    why: texts,
  }),
);

/** Done, and nothing to tell. */
export const emptyAnswer: z.ZodType<object> = z.strictObject({});
