/** What the API answers when it refuses or fails: one shape, a fixed list of codes (docs/errors.md), and no secret in any message. */
import type { Duplex } from "node:stream";
import { withoutKeys } from "../../bytes/secret-text.ts";
import { RefusedError } from "../model/problem.ts";
import { ConfigRefused, ConfigRolledBack } from "../node/configuration.ts";

/** HTTP status of each code (RFC 9110 15). */
export const ERROR_STATUS = {
  invalid: 400,
  bad_json: 400,
  bad_request: 400,
  unsigned: 401,
  replayed: 401,
  forbidden: 403,
  missing: 404,
  no_route: 404,
  timeout: 408,
  conflict: 409,
  config_rolled_back: 409,
  too_large: 413,
  unsupported_type: 415,
  config_refused: 422,
  too_many: 429,
  failed: 500,
  unavailable: 503,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

export interface ErrorBody {
  readonly error: { readonly code: ErrorCode; readonly message: string };
}

/** Refused by the API itself. */
export class ApiError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = "ApiError";
    this.code = code;
  }
}

/** What fastify and Node's HTTP parser call their errors. */
const KNOWN: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: "bad_json",
  FST_ERR_CTP_EMPTY_JSON_BODY: "bad_json",
  FST_ERR_CTP_BODY_TOO_LARGE: "too_large",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "unsupported_type",
  HPE_HEADER_OVERFLOW: "too_large",
  ERR_HTTP_REQUEST_TIMEOUT: "timeout",
};

function codeOf(error: Error): ErrorCode {
  if (error instanceof ApiError) return error.code;
  if (error instanceof RefusedError) return error.reason;
  if (error instanceof ConfigRefused) return "config_refused";
  if (error instanceof ConfigRolledBack) return "config_rolled_back";
  const { code = "", statusCode } = error as Error & { code?: string; statusCode?: number };
  const known = KNOWN[code];
  if (known !== undefined) return known;
  if (error instanceof SyntaxError) return "bad_json";
  if (code.startsWith("HPE_")) return "bad_request";
  return statusCode !== undefined && statusCode >= 400 && statusCode < 500
    ? "bad_request"
    : "failed";
}

/** Ours: what a person reads; what was sent may come back in a message. */
const MESSAGE_MAX = 4_096;

/** The answer to an error. */
export function errorBody(error: Error): ErrorBody {
  const whole = withoutKeys(error.message);
  const message = whole.length > MESSAGE_MAX ? `${whole.slice(0, MESSAGE_MAX)} ...` : whole;
  return { error: { code: codeOf(error), message } };
}

/** Answers where there is no request that could be answered, and ends the connection. */
export function answerBadRequest(error: Error, socket: Duplex): void {
  const body = errorBody(error);
  const text = JSON.stringify(body);
  if (!socket.writable) return;
  const head = `HTTP/1.1 ${ERROR_STATUS[body.error.code]} Error\r\nContent-Type: application/json`;
  const length = `Content-Length: ${Buffer.byteLength(text)}`;
  socket.end(`${head}\r\n${length}\r\nConnection: close\r\n\r\n${text}`);
}
