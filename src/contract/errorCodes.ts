/** The error codes of the contract, in the order of the docs. */
export const errorCodes = [
  'not_admin',
  'group_not_found',
  'instance_not_found',
  'unauthorized',
  'wrong_instance',
  'instance_disconnected',
  'throttled',
  'rate_limited',
  'invalid_request',
  'server_error',
  'bad_response',
  'network_error',
  'timeout',
] as const;

export type ErrorCode = (typeof errorCodes)[number];
