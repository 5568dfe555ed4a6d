/**
 * The bodies that RyzeAPI answers with, as far as this program reads them. Unknown keys are nobody's business here, and
 * what may be missing is left open: a reset whose answer lacks something has taken effect all the same.
 */
import { z } from 'zod';

export const errorEnvelope = z.object({
  success: z.literal(false),
  error: z.object({ message: z.string() }),
});

const text = z.string().nullish();

/** An answer that says `success: false` is none of these. */
const succeeded = z.literal(true).optional();

export const resetBody = z.object({ success: succeeded, groupJid: text, inviteCode: text, inviteLink: text });

export const infoBody = z.object({
  success: succeeded,
  group: z.object({
    /** Expected; where it is missing, whoever asked by JID knows it already. */
    jid: text,
    inviteCode: text,
    inviteLink: text,
  }),
});
