/** What a node's API answers fits what its description says: each route is asked for real, and held against /openapi.json. */
import { expect } from "vitest";
import { z } from "zod";
import { API_SOCKET, ApiFault, askApi } from "../../src/control/api/client.ts";
import { ERROR_STATUS } from "../../src/control/api/errors.ts";
import { ROUTES } from "../../src/control/api/routes.ts";
import { labTest } from "./harness/lab-test.ts";
import { meshResources, twoMachines } from "./harness/mesh.ts";

type JsonSchema = Parameters<typeof z.fromJSONSchema>[0];

interface Content {
  readonly content: Readonly<Record<string, { readonly schema?: JsonSchema }>>;
}

interface Description {
  readonly openapi: string;
  readonly paths: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly responses: Readonly<Record<"200" | "default", Content>> }>>
    >
  >;
}

labTest("every answer is as the description says, errors too", async (lab) => {
  const machines = await twoMachines(lab);
  const [a, b] = machines;
  await Promise.all(machines.map((machine) => machine.runNode()));
  const path = a.pathOf(API_SOCKET);
  const description = (await askApi(path, "GET", "/openapi.json")) as Description;
  expect(description.openapi).toBe("3.1.0");
  const asked = new Set<string>();
  /** Asks, and holds the answer against the schema of that route. */
  const ask = async (
    method: string,
    template: string,
    url: string,
    body?: object,
  ): Promise<unknown> => {
    asked.add(`${method} ${template}`);
    const operation = description.paths[template]?.[method.toLowerCase()];
    const check = (answers: Content | undefined, value: unknown): void => {
      const schema = answers?.content["application/json"]?.schema;
      if (schema === undefined) throw new Error(`${method} ${template} has no schema`);
      const result = z.fromJSONSchema(schema).safeParse(value);
      expect(result.error?.issues, `${method} ${url}: ${JSON.stringify(value)}`).toBeUndefined();
    };
    const text = body === undefined ? undefined : JSON.stringify(body);
    try {
      const answer = await askApi(path, method, url, text);
      check(operation?.responses["200"], answer);
      return answer;
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error;
      const { code, message } = error;
      check(operation?.responses.default, { error: { code, message } });
      expect(Object.keys(ERROR_STATUS)).toContain(code);
      return undefined;
    }
  };
  const [mine, theirs] = await meshResources({ id: "aaa", ports: [3000, 4000] });
  const network = "/v1/networks/{id}";
  expect(await ask("PUT", network, "/v1/networks/aaa", mine)).toMatchObject({ id: "aaa" });
  const other = b.pathOf(API_SOCKET);
  await askApi(other, "PUT", "/v1/networks/aaa", JSON.stringify(theirs));
  await a.untilReaches("10.1.2.1", "n-aaa");
  const workload = { kind: "join", id: "w", namespace: "work", addresses: ["10.1.1.5"] };
  const workloads = "/v1/networks/{id}/workloads";
  expect(await ask("POST", workloads, "/v1/networks/aaa/workloads", workload)).toBeDefined();
  const details = await ask("GET", network, "/v1/networks/aaa");
  // Not vacuous: there is a peer with a session, and a workload.
  expect(details).toMatchObject({
    attached: [{ id: "w" }],
    device: { peers: [{ sessions: expect.arrayContaining(["current"]) }] },
  });
  expect(await ask("GET", "/v1/networks", "/v1/networks")).toHaveLength(1);
  expect(await ask("GET", "/v1/status", "/v1/status")).toMatchObject({ networks: 1 });
  expect(await ask("GET", "/v1/nics", "/v1/nics")).toBeInstanceOf(Array);
  expect(await ask("GET", "/v1/plan", "/v1/plan")).not.toEqual([]);
  const lease = { holder: "h", seconds: 60 };
  const leased = await ask("POST", "/v1/ports/leases", "/v1/ports/leases", lease);
  const { port } = leased as { readonly port: number };
  expect(await ask("GET", "/v1/ports", "/v1/ports")).toMatchObject({
    used: [{ port: 3000, network: "aaa" }],
    leases: [{ port }],
  });
  const leases = "/v1/ports/leases/{port}";
  expect(await ask("DELETE", leases, `/v1/ports/leases/${port}?holder=h`)).toEqual({});
  for (const address of ["10.1.2.9", "10.1.1.5", "10.1.9.9", "203.0.113.1"]) {
    expect(await ask("GET", "/v1/explain", `/v1/explain?address=${address}`)).toHaveLength(1);
  }
  expect(await ask("GET", "/v1/config", "/v1/config")).toBeNull();
  // Without a registry refused; test/e2e/node-registry.test.ts has answers of a node with one.
  for (const method of ["PUT", "DELETE"]) {
    const body = method === "PUT" ? { nics: [] } : undefined;
    expect(await ask(method, "/v1/config", "/v1/config", body)).toBeUndefined();
  }
  expect(await ask("GET", network, "/v1/networks/bbb")).toBeUndefined();
  const one = "/v1/networks/{id}/workloads/{workload}";
  expect(await ask("DELETE", one, "/v1/networks/aaa/workloads/w")).toEqual({});
  expect(await ask("DELETE", network, "/v1/networks/aaa")).toEqual({});
  const all = ROUTES.filter(({ answer }) => answer !== undefined).map(
    ({ method, path: template }) => `${method} ${template.replace(/:(\w+)/g, "{$1}")}`,
  );
  expect([...asked].sort()).toEqual(all.toSorted());
});
