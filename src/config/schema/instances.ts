/** An entry of `instances`: a WhatsApp number as RyzeAPI knows it, with its token and its share of the token's limit. */
import { z } from 'zod';
import { count, dayMs, duration, secretPath, variableName } from './values.ts';

export const rateLimitMap = z.strictObject({
  max: count(1, 100_000).prefault(100).describe('Requests in any "per", as granted to the token'),
  per: duration(100, dayMs).prefault('1m'),
  reserve: count(0, 99_999).prefault(10).describe('Of these, left to one-offs'),
});

export const instanceMap = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,100}$/, { error: 'expected 1 to 100 letters, digits, "_" or "-"' })
      .describe('The RyzeAPI instance'),
    tokenEnv: variableName('RYZE_TOKEN', 'token').optional().describe('Environment variable that holds the token'),
    tokenFile: secretPath('token')
      .optional()
      .describe('File that holds the token, seen from the folder of this file; read again on reload and after a 401'),
    rateLimit: rateLimitMap.prefault({}),
    concurrency: count(1, 1_000).prefault(5).describe('Jobs worked on at the same time'),
    pace: duration(0, dayMs).prefault('0s').describe('Least time between two scheduled resets; one-offs ignore it'),
  })
  .meta({ oneOf: [{ required: ['tokenEnv'] }, { required: ['tokenFile'] }] });
