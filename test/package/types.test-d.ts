/** The library's types. */
import type { Redis } from 'ioredis';
import { describe, expectTypeOf, it } from 'vitest';
import {
  type CurrentLink,
  consumeLinks,
  createRotationClient,
  type LinkEvent,
  linkEvent,
  type RotationError,
  type RotationFailedEvent,
  type RotationResult,
} from '../../src/index.ts';

declare const redis: Redis;

describe('a client', () => {
  const client = createRotationClient({ connection: redis });

  it('takes a URL, options or a client', () => {
    expectTypeOf(createRotationClient).toBeCallableWith({ connection: 'redis://127.0.0.1' });
    expectTypeOf(createRotationClient).toBeCallableWith({ connection: { host: 'redis', port: 6379 }, prefix: 'x' });
    // @ts-expect-error: without one, it would connect to an unknown server.
    createRotationClient({});
  });
  it('returns a link whose fields are not null', () => {
    expectTypeOf(client.rotate('vip')).resolves.toEqualTypeOf<RotationResult>();
    expectTypeOf<RotationResult['inviteLink']>().toEqualTypeOf<string>();
    expectTypeOf<RotationResult['status']>().toEqualTypeOf<'rotated' | 'recovered' | 'satisfied'>();
    expectTypeOf(client.current('vip')).resolves.toEqualTypeOf<CurrentLink | null>();
  });
  it('says when and why a link that names a group was replaced', () => {
    expectTypeOf<RotationResult['replacedAt']>().toEqualTypeOf<string | null | undefined>();
    expectTypeOf<RotationResult['replacedReason']>().toExtend<string | null | undefined>();
    expectTypeOf<NonNullable<RotationResult['replacedRequest']>['requestedBy']>().toEqualTypeOf<string | null>();
    expectTypeOf<CurrentLink['replacedAt']>().toEqualTypeOf<string | null | undefined>();
  });
  it('does not let callers set the time of a request', () => {
    // @ts-expect-error: the time is always Redis's.
    void client.request('vip', { requestedAt: 1 });
  });
  it('takes a time limit for every call', () => {
    expectTypeOf(client.rotate).toBeCallableWith('vip', { timeoutMs: 1 });
    expectTypeOf(client.request).toBeCallableWith('vip', { timeoutMs: 1 });
    expectTypeOf(client.current).toBeCallableWith('vip', { timeoutMs: 1 });
  });
  it('fails with codes of a union type', () => {
    expectTypeOf<'not_admin'>().toExtend<RotationError['code']>();
    expectTypeOf<'closed' | 'paused' | 'removed' | 'redis_error'>().toExtend<RotationError['code']>();
    expectTypeOf<'no_such_code'>().not.toExtend<RotationError['code']>();
  });
});

describe('a consumer', () => {
  it('receives links whose fields are not null', () => {
    consumeLinks({
      connection: redis,
      handler: (event) => {
        expectTypeOf(event.type).toEqualTypeOf<'link.rotated' | 'link.changed'>();
        expectTypeOf(event.inviteLink).toEqualTypeOf<string>();
        expectTypeOf(event.revision).toEqualTypeOf<number>();
        expectTypeOf(event.previousInviteCode).toEqualTypeOf<string | null>();
      },
      onFailed: (event) => {
        expectTypeOf(event).toEqualTypeOf<RotationFailedEvent>();
        expectTypeOf(event.inviteLink).toEqualTypeOf<string | null>();
      },
    });
  });
  it('narrows an event by its type', () => {
    const event: LinkEvent = linkEvent.parse({});
    if (event.type === 'rotation.failed') expectTypeOf(event.linkUncertain).toEqualTypeOf<boolean>();
    // @ts-expect-error: only a failure has an error.
    else event.error;
  });
});
