/**
 * The index of ids: what was registered for each group of the files that workers have, and which record is its. Clients
 * read it to find a group's queue. One that left the files stays as a note of where its record is, so that whoever still
 * asks for it by its old id finds the WhatsApp group.
 */
import { z } from 'zod';
import { entry, published } from './record.ts';

const registration = z.looseObject({
  entry,
  recordId: z.string(),
  /** Of the file that it was registered from: an older file never replaces it (`files.ts`). */
  generation: z.int().nonnegative(),
  /** The group that owns the same WhatsApp group; null: none. */
  duplicateOf: z.string().nullable(),
  /** What consumers held under its id when it lost its record; null: nothing, or it has its record still. */
  published: published.nullable().default(null),
  /** Failures reported under its id when it lost its record. */
  failures: z.int().nonnegative().default(0),
  /** Its record was lost, or given to another entry: it has to be registered again, by whatever file. */
  evicted: z.boolean().default(false),
  /** When it left the file; null: it is in force. */
  removedAt: z.int().nonnegative().nullable(),
});
export type Registration = z.infer<typeof registration>;

/** null: there is none, or a version before 0.2 wrote it; the group is then registered again. */
export function parseRegistration(json: string | null | undefined): Registration | null {
  if (!json) return null;
  try {
    return registration.parse(JSON.parse(json));
  } catch {
    return null;
  }
}
