/** The package's entry: for programs that ask for rotations, and for those that use the links. */
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
export { RotationError, type RotationErrorCode } from './client/error.ts';
export type { RetryOptions } from './consumer/backOff.ts';
export { type ConsumeLinksOptions, consumeLinks, type LinkConsumer } from './consumer/consumer.ts';
export { type RotationRequest, type RotationResult, rotationRequest, rotationResult } from './queues/request.ts';
export type { Connection } from './redis/given.ts';
export {
  type LinkEvent,
  linkChanged,
  linkEvent,
  linkRotated,
  type NewLinkEvent,
  type RotationFailedEvent,
  rotationFailed,
} from './results/event.ts';
export { type ErrorCode, errorCodes } from './ryze/outcome.ts';
