/** The bodies that RyzeAPI answers with, as far as this program reads them. Unknown keys are nobody's business here. */
import { z } from 'zod';

export const errorEnvelope = z.object({
  success: z.literal(false),
  error: z.object({ message: z.string() }),
});

export const resetBody = z.object({
  success: z.literal(true),
  groupJid: z.string().min(1),
  inviteCode: z.string().min(1),
  inviteLink: z.string().min(1),
});

export const infoBody = z.object({
  success: z.literal(true).optional(),
  group: z.object({
    /** Expected; where it is missing, whoever asked by JID knows it already. */
    jid: z.string().min(1).optional(),
    inviteCode: z.string().nullish(),
    inviteLink: z.string().nullish(),
  }),
});
