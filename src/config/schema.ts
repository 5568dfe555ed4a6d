/**
 * The configuration file as a whole, in zod: known keys, shapes, bounds and defaults. `build.ts` reads a file by its
 * maps, key by key; the JSON Schema for editors is generated from `fileSchema`. What needs several keys at once
 * (references, duplicates, what a token can serve) is not said here.
 */
import { z } from 'zod';
import { apiMap, opsMap, redisMap } from './schema/connections.ts';
import { defaultsMap, groupMap } from './schema/groups.ts';
import { instanceMap } from './schema/instances.ts';
import { resultsMap, retryMap, shutdownTimeoutValue, verifyMap } from './schema/running.ts';
import { off } from './schema/values.ts';

export const fileSchema = z.strictObject({
  api: apiMap.optional(),
  instances: z.array(instanceMap).min(1).describe('RyzeAPI instances: WhatsApp numbers'),
  defaults: defaultsMap.optional().describe('Any key of a group but id and identifier'),
  groups: z.array(groupMap).min(1).describe('Groups whose invite links are rotated'),
  retry: retryMap.optional(),
  verify: z.union([off, verifyMap]).optional().describe('Reads links back when budget is idle; "off" turns it off'),
  results: resultsMap.optional(),
  redis: redisMap.optional(),
  ops: z.union([off, opsMap]).optional().describe('Health, metrics and a status page over HTTP; "off" turns them off'),
  shutdownTimeout: shutdownTimeoutValue.describe('After a signal, work in flight may take this long'),
});
