/** Which language a registry speaks: the one of docs/registry.md (`/api/v2`), or the older one that takes a census and nothing else. */
import { send, textOf } from "../../registry/http.ts";

const ASK_MS = 10_000;
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;

/**
 * "v2": its description has the route by which nodes register. "old": it has no such description. Rejects where that is not known: it
 * does not answer, or something in between answers with an error of its own.
 */
export async function speechOf(
  { url, ca }: { readonly url: string; readonly ca?: string | undefined },
  signal: AbortSignal,
): Promise<"v2" | "old"> {
  const place = new URL("/openapi.json", url);
  const limit = AbortSignal.any([AbortSignal.timeout(ASK_MS), signal]);
  const response = await send(place, { method: "GET", headers: {}, ca, signal: limit });
  const text = await textOf(place, response, ANSWER_BYTES_MAX);
  const { statusCode = 0 } = response;
  if (statusCode >= 500 || statusCode === 429) {
    throw new Error(`it answers with status ${statusCode}`);
  }
  if (statusCode >= 300 && statusCode < 400) {
    throw new Error(`it sends us elsewhere (status ${statusCode}): a captive portal?`);
  }
  if (statusCode !== 200) return "old";
  try {
    const { paths } = JSON.parse(text) as { readonly paths?: Readonly<Record<string, unknown>> };
    return paths?.["/api/v2/nodes"] === undefined ? "old" : "v2";
  } catch {
    return "old";
  }
}
