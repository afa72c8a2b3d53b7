/** A lab for the length of one measurement. */
import { Lab } from "../src/cli/demo/lab.ts";

/** Of the programs' output, so much is shown when a measurement fails. */
const LOG_CHARACTERS = 4_000;

/** Does `work` in a lab of its own, which is removed afterwards; when it fails, the programs' last output is shown. */
export async function inLab<T>(work: (lab: Lab) => Promise<T>): Promise<T> {
  const lab = new Lab();
  try {
    return await work(lab);
  } catch (error) {
    process.stderr.write(lab.logs().slice(-LOG_CHARACTERS));
    throw error;
  } finally {
    await lab.close();
  }
}
