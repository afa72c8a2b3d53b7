/** What the bench says while it runs. Results go to standard output, this goes to standard error. */
export function tell(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
