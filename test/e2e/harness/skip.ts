import type { TestContext } from "vitest";

declare module "vitest" {
  interface TaskMeta {
    /** Printed at the end of `npm test`. */
    skipReason?: string;
  }
}

/** Skips the running test for a reason that the test run reports. */
export function skip(context: TestContext, reason: string): never {
  context.task.meta.skipReason = reason;
  return context.skip(reason);
}
