/** A Vitest test with a lab of its own, which is removed whatever happens; the programs' logs are shown if it fails. */
import { type TestContext, test } from "vitest";
import { Lab } from "../../../src/cli/demo/lab.ts";

const TIMEOUT_MS = 90_000;
const LOG_SHOWN = 12_000;

export function labTest(
  name: string,
  body: (lab: Lab, context: TestContext) => Promise<void>,
  timeout: number = TIMEOUT_MS,
): void {
  test(name, { timeout }, async (context) => {
    const lab = new Lab();
    try {
      await body(lab, context);
    } catch (error) {
      if (!context.signal.aborted) console.log(`${name}: logs\n${lab.logs().slice(-LOG_SHOWN)}`);
      throw error;
    } finally {
      await lab.close();
    }
  });
}
