/** `--registry-ca FILE`: whose certificates a registry may have. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { RefusedError } from "../../control/model/problem.ts";

/** The certificates in PEM; undefined: those that the system trusts. Throws naming the file. */
export function readCa(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new RefusedError("invalid", `--registry-ca: ${file} can't be read (${code})`);
  }
  try {
    new X509Certificate(text);
  } catch {
    throw new RefusedError("invalid", `--registry-ca: ${file} holds no certificate in PEM`);
  }
  return text;
}
