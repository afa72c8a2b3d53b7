/** Programs run by the demo: what `control` uses, under the name that the demo, the bench and the tests know. */
export {
  attempt,
  Background,
  type Finished,
  type RunOptions,
  run,
  until,
} from "../../control/linux/command.ts";
