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

/** What programs write where they have no value. */
const NO_VALUE = /^(?:undefined|null|nan|none|nil|redacted|true|false|object)+$/i;
/** No code of WhatsApp's looks like one. */
const PLAIN_WORD = /^(?:[a-z_-]+|[A-Z_-]+)$/;

/** Whether a server may mean this as an invite code: real ones have 22 letters and digits, its documentation's nine. */
export function isInviteCode(text: string): boolean {
  return CODE.test(text) && !NO_VALUE.test(text) && !PLAIN_WORD.test(text);
}

/**
 * The code at the end of an invite link, as servers and people write it: any case of the host, `www.`, `invite/`, a query
 * or a fragment. null when it is not an invite link.
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
