/**
 * The program that asks targets from inside a namespace: Node can't enter one, so it is started there. Reads targets and options as
 * JSON from standard input, prints the answers as JSON.
 */
import { text } from "node:stream/consumers";
import { ask, type CheckOptions, type Target } from "./connectivity.ts";

const request = JSON.parse(await text(process.stdin)) as {
  readonly targets: readonly Target[];
  readonly options: CheckOptions;
};
const answers = await Promise.all(
  request.targets.map(async (target) => await ask(target, request.options)),
);
process.stdout.write(`${JSON.stringify(answers)}\n`, () => process.exit(0));
