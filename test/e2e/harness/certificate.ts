/** Certificates of a CA that a test has made itself, by openssl. */
import { join } from "node:path";
import type { Certificate } from "../../../src/cli/demo/grid-lab.ts";
import type { Lab } from "../../../src/cli/demo/lab.ts";
import { run } from "../../../src/control/linux/command.ts";

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

export class Ca {
  readonly ca: string;
  readonly #lab: Lab;
  readonly #name: string;
  readonly #key: string;
  #count = 0;

  private constructor(lab: Lab, name: string) {
    this.#lab = lab;
    this.#name = name;
    this.ca = join(lab.folder, `${name}-ca.pem`);
    this.#key = join(lab.folder, `${name}-ca-key.pem`);
  }

  static async make(lab: Lab, name: string): Promise<Ca> {
    const made = new Ca(lab, name);
    const files = ["-keyout", made.#key, "-out", made.ca];
    await run([
      ...["openssl", "req", "-x509", ...KEY, "-days", "2", "-subj", `/CN=${name}`, ...files],
      ...["-addext", "basicConstraints=critical,CA:TRUE"],
    ]);
    return made;
  }

  /** For names such as "IP:198.18.6.2,DNS:localhost"; good for a day from `when`, as faketime takes it. */
  async sign(names: string, when?: string): Promise<Certificate> {
    this.#count += 1;
    const path = (what: string): string =>
      join(this.#lab.folder, `${this.#name}-${this.#count}-${what}.pem`);
    const [certificate, key, request] = [path("cert"), path("key"), path("request")];
    const extensions = this.#lab.file(
      `${this.#name}-${this.#count}.ext`,
      `subjectAltName=${names}\n`,
    );
    await run(["openssl", "req", ...KEY, "-subj", "/CN=registry", "-keyout", key, "-out", request]);
    await run([
      ...(when === undefined ? [] : ["faketime", "-f", when]),
      ...["openssl", "x509", "-req", "-in", request, "-CA", this.ca, "-CAkey", this.#key],
      ...["-CAcreateserial", "-days", "1", "-extfile", extensions, "-out", certificate],
    ]);
    return { certificate, key, ca: this.ca };
  }
}
