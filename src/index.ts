/** The library: a client that requests rotations, and a consumer of links. */

export type { RetryOptions } from './client/backOff.ts';
export {
  type CallOptions,
  type CurrentLink,
  createRotationClient,
  type Requested,
  type RequestOptions,
  type RotateOptions,
  type RotationClient,
  type RotationClientOptions,
} from './client/client.ts';
export { type ConsumeLinksOptions, consumeLinks, type LinkConsumer } from './client/consumer.ts';
export { RotationError, type RotationErrorCode } from './client/error.ts';
export { type ErrorCode, errorCodes } from './contract/errorCodes.ts';
export {
  type LinkEvent,
  linkChanged,
  linkEvent,
  linkRotated,
  type NewLinkEvent,
  type RotationFailedEvent,
  rotationFailed,
} from './contract/event.ts';
export { type RotationRequest, type RotationResult, rotationRequest, rotationResult } from './contract/request.ts';
export type { Connection } from './redis/connectionOptions.ts';
