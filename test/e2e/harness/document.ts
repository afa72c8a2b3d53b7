/** A document as somebody reads who does what it says: its blocks of shell commands, by section. */
import { readFileSync } from "node:fs";

/** Blocks of `sh` below each heading of the second level, in their order, without the indentation of lists. */
export function blocksIn(path: string): Map<string, string[]> {
  const sections = new Map<string, string[]>();
  let blocks: string[] = [];
  let block: { readonly indent: string; readonly lines: string[] } | undefined;
  for (const line of readFileSync(path, "utf8").split("\n")) {
    const [, title] = /^## (.*)$/.exec(line) ?? [];
    const [, indent, language] = /^( *)```(\w*)$/.exec(line) ?? [];
    if (block !== undefined && indent !== undefined) {
      blocks.push(block.lines.join("\n"));
      block = undefined;
    } else if (block !== undefined) {
      block.lines.push(line.startsWith(block.indent) ? line.slice(block.indent.length) : line);
    } else if (indent !== undefined) {
      if (language !== "sh") throw new Error(`${path}: a block that is not sh`);
      block = { indent, lines: [] };
    } else if (title !== undefined) {
      blocks = [];
      sections.set(title, blocks);
    }
  }
  return sections;
}
