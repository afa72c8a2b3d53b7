/** Entry of the background process of `wirehaul-wg`. */
import { main } from "./wirehaul-wg.ts";

process.exitCode = await main(process.argv.slice(2));
