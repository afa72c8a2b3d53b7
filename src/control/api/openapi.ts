/** The API's description, OpenAPI 3.1, out of the routes and their zod schemas. Pure. */
import { z } from "zod";
import { VERSION } from "../../version.ts";
import { ERROR_STATUS } from "./errors.ts";

/** What the description needs of a route. */
export interface DescribedRoute {
  readonly method: string;
  /** With `:name` for parts. */
  readonly path: string;
  readonly summary: string;
  readonly query?: z.ZodType | undefined;
  readonly body?: z.ZodType | undefined;
  /** Of the answer. */
  readonly answer?: z.ZodType | undefined;
  /** Of an answer without a schema; JSON unless said. */
  readonly type?: string | undefined;
}

const ERROR = z.object({
  error: z.object({ code: z.enum(Object.keys(ERROR_STATUS)), message: z.string() }),
});

function schemaOf(schema: z.ZodType): object {
  const { $schema: _draft, ...rest } = z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
  });
  return rest;
}

export function describeApi(title: string, routes: readonly DescribedRoute[]): object {
  const error = {
    description: "Refused or failed; docs/errors.md has the codes",
    content: { "application/json": { schema: schemaOf(ERROR) } },
  };
  const paths: Record<string, Record<string, object>> = {};
  for (const { method, path, summary, query, body, answer, type = "application/json" } of routes) {
    const inPath = [...path.matchAll(/:(\w+)/g)].map(([, name = ""]) => ({
      name,
      in: "path",
      required: true,
      schema: { type: "string" },
    }));
    const { properties = {}, required = [] } = (query === undefined ? {} : schemaOf(query)) as {
      properties?: Record<string, object>;
      required?: string[];
    };
    const inQuery = Object.entries(properties).map(([name, schema]) => ({
      name,
      in: "query",
      required: required.includes(name),
      schema,
    }));
    const place = path.replace(/:(\w+)/g, "{$1}");
    paths[place] = {
      ...paths[place],
      [method.toLowerCase()]: {
        summary,
        parameters: [...inPath, ...inQuery],
        ...(body === undefined
          ? {}
          : {
              requestBody: {
                required: true,
                content: { "application/json": { schema: schemaOf(body) } },
              },
            }),
        responses: {
          "200": {
            description: "Done",
            content:
              answer === undefined
                ? { [type]: {} }
                : { "application/json": { schema: schemaOf(answer) } },
          },
          default: error,
        },
      },
    };
  }
  return { openapi: "3.1.0", info: { title, version: VERSION }, paths };
}
