/** What a one-off says of the moment at which it was asked for, so that a reset that begins later answers it. */

import type { RotationRequest } from '../contract/request.ts';
import { type GroupStore, RecordError, readable } from '../groups/store.ts';
import { type Database, redisTime } from '../redis/database.ts';

export type Stamp = Pick<RotationRequest, 'seen'> & { readonly requestedAt: number };

/** `recordId`: of the group; null: nobody has registered it. To be read before the request is pushed. */
export async function stampOf(
  { store, ...db }: Database & { readonly store: GroupStore },
  recordId: string | null,
): Promise<Stamp> {
  const loaded = recordId === null ? null : await readable(store.load(recordId));
  if (recordId === null || loaded === null || loaded instanceof RecordError) {
    return { requestedAt: await redisTime(db) };
  }
  return { requestedAt: loaded.nowMs, seen: { record: recordId, attempts: loaded.record.attempts } };
}
