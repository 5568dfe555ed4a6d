/**
 * The three ways to name a WhatsApp group to RyzeAPI: its JID, which lasts, and its invite code or link, which are dead
 * after the first reset. Links are reduced to their code here, so the rest of the program knows two kinds.
 */
export type GroupIdentifier =
  | { readonly kind: 'jid'; readonly jid: string }
  | { readonly kind: 'code'; readonly code: string };

/** `120363406289005073@g.us`, or the older form that starts with the creator's number. */
const JID = /^[0-9]{5,32}(-[0-9]{5,16})?@g\.us$/;
const CODE = /^[A-Za-z0-9_-]{6,64}$/;
const LINK = /^(?:https?:\/\/)?chat\.whatsapp\.com\/(?:invite\/)?([A-Za-z0-9_-]{6,64})\/?(?:\?.*)?$/;

/** Reads a JID, an invite code or an invite link. null if it is none of them. */
export function parseIdentifier(text: string): GroupIdentifier | null {
  if (JID.test(text)) return { kind: 'jid', jid: text };
  const code = LINK.exec(text)?.[1] ?? (CODE.test(text) ? text : undefined);
  return code === undefined ? null : { kind: 'code', code };
}

export function isJid(text: string): boolean {
  return JID.test(text);
}

/** The form that RyzeAPI takes as `identifier`. */
export function identifierText(identifier: GroupIdentifier): string {
  return identifier.kind === 'jid' ? identifier.jid : identifier.code;
}

/** The invite link of a code, in the form in which RyzeAPI returns it. */
export function inviteLinkOf(code: string): string {
  return `https://chat.whatsapp.com/${code}`;
}

/** What programs print in place of a missing value. */
const NO_VALUE = /^(?:undefined|null|nan|none|nil|redacted|true|false|object)+$/i;
/** WhatsApp's codes mix cases or contain digits. */
const PLAIN_WORD = /^(?:[a-z_-]+|[A-Z_-]+)$/;

/** Whether a server may mean this as an invite code. Real ones have 22 letters and digits, those in its documentation nine. */
export function isInviteCode(text: string): boolean {
  return CODE.test(text) && !NO_VALUE.test(text) && !PLAIN_WORD.test(text);
}

/**
 * The code of an invite link as servers and people write it: any case of the host, `www.`, `invite/`, a query or a
 * fragment. null if it is not an invite link.
 */
export function inviteCodeOf(link: string): string | null {
  const text = link.trim();
  if (/\s/.test(text)) return null;
  let url: URL;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`);
  } catch {
    return null;
  }
  const isWhatsApp = /^(www\.)?chat\.whatsapp\.com$/.test(url.hostname) && /^https?:$/.test(url.protocol);
  const code = /^\/(?:invite\/)?([^/]+)\/?$/i.exec(url.pathname)?.[1];
  return isWhatsApp && code !== undefined && isInviteCode(code) ? code : null;
}
