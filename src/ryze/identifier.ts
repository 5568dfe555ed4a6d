/**
 * The three ways to name a WhatsApp group to RyzeAPI: its JID, which lasts, and its invite code or link, which are dead
 * after the first reset. Links are reduced to their code here, so the rest of the program knows two kinds.
 */
export type GroupIdentifier =
  | { readonly kind: 'jid'; readonly jid: string }
  | { readonly kind: 'code'; readonly code: string };

/** `120363406289005073@g.us`, or the older form that starts with the creator's number. */
const JID = /^[0-9]{5,25}(-[0-9]{5,20})?@g\.us$/;
const CODE = /^[A-Za-z0-9_-]{6,64}$/;

/** Invisible characters that chat programs and office programs put around copied text. */
const INVISIBLE = /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/u;
const AROUND = new RegExp(`^(?:\\s|${INVISIBLE.source})+|(?:\\s|${INVISIBLE.source})+$`, 'gu');

/** Reads a JID, an invite code or an invite link. Null if it is none of them. */
export function parseIdentifier(text: string): GroupIdentifier | null {
  const read = readIdentifier(text);
  return 'problem' in read ? null : read;
}

/**
 * The same, and says what the text is instead if it does not name a group. A problem never quotes the text, because it
 * may be a link.
 */
export function readIdentifier(text: string): GroupIdentifier | { readonly problem: string } {
  const bare = text
    .replace(AROUND, '')
    .replace(/^<(.*)>$/, '$1')
    .replace(AROUND, '');
  const invisible = INVISIBLE.exec(bare);
  if (invisible !== null) return { problem: invisibleProblem(bare, invisible.index) };
  if (JID.test(bare)) return { kind: 'jid', jid: bare };
  if (bare.includes('@')) return { problem: addressProblem(bare) };
  if (/[./]/.test(bare)) return readLink(bare);
  if (/^\+?[0-9][0-9 ()-]*$/.test(bare)) return { problem: digitsProblem(bare) };
  if (isInviteCode(bare)) return { kind: 'code', code: bare };
  return { problem: CODE.test(bare) ? notACode : expected };
}

const expected = 'expected a JID (…@g.us), an invite code or an invite link (https://chat.whatsapp.com/…)';
const notACode = `is not an invite code, which mixes upper and lower case or has digits: ${expected}`;

function readLink(text: string): GroupIdentifier | { readonly problem: string } {
  const code = inviteCodeOf(text);
  if (code !== null) return { kind: 'code', code };
  if (/(^|[/.])wa\.me\//i.test(text)) return { problem: `is a link to a person, not to a group: ${expected}` };
  if (/whatsapp\.com\/channel\//i.test(text)) return { problem: `is a link to a channel, not to a group: ${expected}` };
  if (/chat\.whatsapp\.com/i.test(text))
    return {
      problem: 'is not a whole invite link: expected https://chat.whatsapp.com/ followed by the code, and nothing else',
    };
  return { problem: expected };
}

/** What the address after the `@` belongs to. */
const addresses: Readonly<Record<string, string>> = {
  'c.us': 'a person',
  's.whatsapp.net': 'a person',
  lid: 'a person',
  newsletter: 'a channel',
  broadcast: 'a broadcast list',
};

function addressProblem(text: string): string {
  const owner = addresses[text.slice(text.lastIndexOf('@') + 1).toLowerCase()];
  if (owner !== undefined) return `is the address of ${owner}, not of a group: the JID of a group ends in @g.us`;
  return 'is not a JID: expected digits and @g.us, such as 120363406289005073@g.us';
}

/** The JIDs of groups have 18 digits; phone numbers have at most 15. */
function digitsProblem(text: string): string {
  const digits = text.replace(/[^0-9]/g, '');
  if (digits.length > 15) return 'is a JID without its end: append @g.us';
  return `is a phone number, not a group: ${expected}`;
}

function invisibleProblem(text: string, at: number): string {
  const name = (text.codePointAt(at) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  return `contains the invisible character U+${name} after ${at} characters: remove it`;
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
