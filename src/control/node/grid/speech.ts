/** Which language a registry speaks: the one of docs/registry.md (`/api/v2`), or the older one that takes a census and nothing else. */

const ASK_MS = 10_000;
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;

/**
 * "v2": its description has the route by which nodes register. "old": it has no such description. Rejects where that is not known: it
 * does not answer, or something in between answers with an error of its own.
 */
export async function speechOf(url: string, signal: AbortSignal): Promise<"v2" | "old"> {
  const response = await fetch(new URL("/openapi.json", url), {
    redirect: "error",
    signal: AbortSignal.any([AbortSignal.timeout(ASK_MS), signal]),
  });
  const text = (await response.text()).slice(0, ANSWER_BYTES_MAX);
  if (response.status >= 500 || response.status === 429) {
    throw new Error(`it answers with status ${response.status}`);
  }
  if (!response.ok) return "old";
  try {
    const { paths } = JSON.parse(text) as { readonly paths?: Readonly<Record<string, unknown>> };
    return paths?.["/api/v2/nodes"] === undefined ? "old" : "v2";
  } catch {
    return "old";
  }
}
