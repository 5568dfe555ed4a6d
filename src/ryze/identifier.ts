/**
 * The three ways to name a WhatsApp group to RyzeAPI: its JID, which lasts, and its invite code or link, which are dead
 * after the first reset. Links are reduced to their code here, so that the rest of the program knows two kinds.
 */
export type GroupIdentifier =
  | { readonly kind: 'jid'; readonly jid: string }
  | { readonly kind: 'code'; readonly code: string };

/** `120363406289005073@g.us`, or the older form that starts with the creator's number. */
const JID = /^[0-9]{5,32}(-[0-9]{5,16})?@g\.us$/;
const CODE = /^[A-Za-z0-9_-]{6,64}$/;
const LINK = /^(?:https?:\/\/)?chat\.whatsapp\.com\/(?:invite\/)?([A-Za-z0-9_-]{6,64})\/?(?:\?.*)?$/;

/** Reads a JID, an invite code or an invite link; null when it is none of them. */
export function parseIdentifier(text: string): GroupIdentifier | null {
  if (JID.test(text)) return { kind: 'jid', jid: text };
  const code = LINK.exec(text)?.[1] ?? (CODE.test(text) ? text : undefined);
  return code === undefined ? null : { kind: 'code', code };
}

export function isJid(text: string): boolean {
  return JID.test(text);
}

/** What RyzeAPI is sent as `identifier`. */
export function identifierText(identifier: GroupIdentifier): string {
  return identifier.kind === 'jid' ? identifier.jid : identifier.code;
}

/** The link that leads to a code, in the form RyzeAPI answers with. */
export function inviteLinkOf(code: string): string {
  return `https://chat.whatsapp.com/${code}`;
}

/** The code at the end of an invite link; null when it is no invite link. */
export function inviteCodeOf(link: string): string | null {
  return LINK.exec(link)?.[1] ?? null;
}
