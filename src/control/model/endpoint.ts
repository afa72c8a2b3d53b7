/** Endpoints as text. Pure. */

/** The address of "ADDRESS:PORT" or "[ADDRESS]:PORT". */
export function addressOfEndpoint(endpoint: string): string {
  return endpoint.slice(0, endpoint.lastIndexOf(":")).replace(/^\[|\]$/g, "");
}
