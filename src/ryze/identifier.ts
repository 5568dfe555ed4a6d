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

/** Of a link with everything that programs append to it. Brackets in brackets take time quadratic in the length. */
const maxLength = 2_000;

/** Characters without a shape, which chat programs and office programs put around copied text. */
const INVISIBLE = /[\p{Cf}\p{Cc}\u115f\u3164]|\u034f|[\ufe00-\ufe0f]/u;
const BLANK = `(?:\\s|${INVISIBLE.source})`;
/** The look behind keeps the time linear: the pattern is tried once for each run of blanks, not for each blank. */
const AROUND = new RegExp(`^${BLANK}+|(?<!${BLANK})${BLANK}+$`, 'gu');
/** What people put around a link or an id, and the end of a sentence. */
const WRAPPED = /^(?:<(.*)>|"(.*)"|'(.*)'|`(.*)`|\((.*)\)|\[(.*)\]|“(.*)”|«(.*)»|(.*)[.,;])$/s;

interface NotAnIdentifier {
  readonly problem: string;
}

/** Reads a JID, an invite code or an invite link. Null if it is none of them. */
export function parseIdentifier(text: string): GroupIdentifier | null {
  const read = readIdentifier(text);
  return 'problem' in read ? null : read;
}

/**
 * The same, and says what the text is instead if it does not name a group. A problem never quotes the text, because it
 * may be a link. Places count the characters of the whole text.
 */
export function readIdentifier(text: string): GroupIdentifier | NotAnIdentifier {
  if (text.length > maxLength) return { problem: `has ${text.length} characters: ${expected}` };
  const bare = unwrapped(text);
  const place = { text: bare, from: text.indexOf(bare) };
  const invisible = INVISIBLE.exec(bare.replace(/\s/gu, ' '));
  if (invisible !== null) return characterProblem(place, invisible.index);
  const jid = jidOf(bare);
  if (jid !== null) return { kind: 'jid', jid };
  if (/^[a-z]+:\/|whatsapp\.com|\bwa\.me\b/i.test(bare)) return readLink(place);
  if (bare.includes('@')) return addressProblem(place);
  if (/^(tel:)?[+(]?[0-9][0-9\s().+/-]*$/i.test(bare)) return { problem: digitsProblem(bare) };
  if (/\s/u.test(bare)) return characterProblem(place, bare.search(/\s/u), expected);
  if (/[./]/.test(bare)) return { problem: `is not an invite link: ${expected}` };
  const odd = bare.search(/[^A-Za-z0-9_-]/);
  if (odd !== -1) return characterProblem(place, odd, expected);
  if ((isInviteCode(bare) && !isName(bare)) || isRandom(bare)) return { kind: 'code', code: bare };
  return { problem: CODE.test(bare) ? notACode : bare === '' ? `is empty: ${expected}` : expected };
}

const expected = 'expected a JID (…@g.us), an invite code or an invite link (https://chat.whatsapp.com/…)';
const notACode = `is a name, not an invite code, which has about 22 letters and digits: ${expected}`;

/** Without blanks and invisible characters around it. */
export function trimmed(text: string): string {
  return text.replace(AROUND, '');
}

/** Without brackets and quotes around it, either. */
function unwrapped(text: string): string {
  let bare = trimmed(text);
  for (let match = WRAPPED.exec(bare); match !== null; match = WRAPPED.exec(bare)) {
    bare = trimmed(match.slice(1).find((inside) => inside !== undefined) ?? '');
  }
  return bare;
}

/** A JID in any case, also with the number of a device, as libraries print it. */
export function jidOf(text: string): string | null {
  const jid = text.toLowerCase().replace(/:[0-9]{1,4}@/, '@');
  return isJid(jid) ? jid : null;
}

/** A part of the text, and its place there. */
interface Part {
  readonly text: string;
  readonly from: number;
}

function readLink(link: Part): GroupIdentifier | NotAnIdentifier {
  const code = codeOf(link.text);
  // In a whole link, capitals alone are hardly a name.
  if (code !== null && (isInviteCode(code) || isRandom(code) || /^[A-Z]{6,}$/.test(code)))
    return { kind: 'code', code };
  const blank = link.text.search(/\s/u);
  if (blank !== -1) return characterProblem(link, blank);
  const url = urlOf(link.text);
  const host = url?.hostname.replace(/^www\./, '') ?? '';
  if (url === null || !/(^|\.)(whatsapp\.com|wa\.me)$/.test(host))
    return { problem: `is a link, but not an invite link: ${expected}` };
  if (host !== 'chat.whatsapp.com') return { problem: `is a link to ${ownerOfLink(host, url.pathname)}: ${expected}` };
  const whole = 'expected https://chat.whatsapp.com/ followed by the code, and nothing else';
  const [, before = '', last = ''] = /^(.*?chat\.whatsapp\.com\/+(?:invite\/+)?)([^?#]*)/i.exec(link.text) ?? [];
  const odd = last.replace(/\/+$/, '').search(/[^A-Za-z0-9_-]/);
  if (odd !== -1) return characterProblem(link, before.length + odd);
  return { problem: `is not a whole invite link${last === '' ? ': its code is missing' : ''}: ${whole}` };
}

function ownerOfLink(host: string, path: string): string {
  if (/^\/channel\b/i.test(path)) return 'a channel, not to a group';
  if (/^\/communit/i.test(path)) return 'a community, not to a group';
  if (host === 'web.whatsapp.com') return 'WhatsApp Web, not to a group';
  if (host === 'wa.me' || host === 'api.whatsapp.com') return 'a person, not to a group';
  return "WhatsApp's website, not to a group";
}

/** What the address after the `@` belongs to. */
const addresses: Readonly<Record<string, string>> = {
  'c.us': 'a person',
  's.whatsapp.net': 'a person',
  lid: 'a person',
  hosted: 'a person',
  newsletter: 'a channel',
  broadcast: 'a broadcast list',
  bot: 'a bot',
};

function addressProblem(address: Part): NotAnIdentifier {
  const { text } = address;
  const owner = addresses[text.slice(text.lastIndexOf('@') + 1).toLowerCase()];
  if (owner !== undefined)
    return { problem: `is the address of ${owner}, not of a group: the JID of a group ends in @g.us` };
  const odd = text.search(/\s/u);
  if (odd !== -1) return characterProblem(address, odd);
  const end = /^[0-9-]+(?::[0-9]+)?@g\.us(?=.)/i.exec(text)?.[0].length;
  if (end !== undefined) return characterProblem(address, end);
  return { problem: 'is not a JID: expected digits and @g.us, such as 120363406289005073@g.us' };
}

/** The JIDs of groups have 18 digits, or two numbers with a hyphen between them; phone numbers have at most 15. */
function digitsProblem(text: string): string {
  const digits = text.replace(/[^0-9]/g, '');
  if (digits.length <= 15) return `is a phone number, not a group: ${expected}`;
  return 'is digits alone: if they are the JID of a group, append @g.us';
}

/** Names a character that does not belong there. It is shown as it is only if one can see it. */
function characterProblem({ text, from }: Part, index: number, advice = 'remove it'): NotAnIdentifier {
  const character = String.fromCodePoint(text.codePointAt(index) ?? 0);
  const code = `U+${(text.codePointAt(index) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
  const after = `after ${from + index} characters: ${advice}`;
  if (/[!-~]/.test(character)) return { problem: `contains "${character}" ${after}` };
  if (character === ' ') return { problem: `contains a blank ${after}` };
  const kind = /\s/u.test(character) ? 'the blank' : INVISIBLE.test(character) ? 'the invisible character' : '';
  return { problem: `contains ${kind === '' ? 'the character' : kind} ${code} ${after}` };
}

/**
 * Whether a text that could be a code is rather the name of a group. Codes are random: among so few characters, they have
 * no words, and real ones have neither `_` nor `-`.
 */
function isName(text: string): boolean {
  const hasSeparator = /[_-]/.test(text);
  if (text.length >= 20) return hasSeparator && !/^(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])/.test(text);
  return hasSeparator || /^[A-Z]?[a-z]{2,}(?:[A-Z][a-z]{2,})*[0-9]{0,4}$/.test(text);
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

/** Whether the text is too long for a name in one word. */
function isRandom(text: string): boolean {
  return /^[A-Za-z0-9]{20,64}$/.test(text) && !NO_VALUE.test(text);
}

/** What programs print in place of a missing value. */
const NO_VALUE = /^(?:(?:undefined|null|nan|none|nil|redacted|true|false|object|invite|code|link)[_-]*)+$/i;
/** WhatsApp's codes mix cases, or letters and digits. */
const PLAIN_WORD = /^(?:[A-Z]?[a-z_-]+|[A-Z_-]+|[0-9_-]+)$/;

/** Whether a server may mean this as an invite code. Real ones have 22 letters and digits, those in its documentation nine. */
export function isInviteCode(text: string): boolean {
  return CODE.test(text) && !NO_VALUE.test(text) && !PLAIN_WORD.test(text);
}

/**
 * The code of an invite link as servers and people write it: any case of the host, `www.`, `invite/`, a query or a
 * fragment, or the form that opens the app. null if it is not an invite link.
 */
export function inviteCodeOf(link: string): string | null {
  const code = codeOf(trimmed(link));
  return code !== null && isInviteCode(code) ? code : null;
}

function codeOf(text: string): string | null {
  const url = /\s/.test(text) ? null : urlOf(text);
  return url === null ? null : codeIn(url);
}

function codeIn({ protocol, hostname, pathname, searchParams }: URL): string | null {
  if (protocol === 'whatsapp:') return hostname === 'chat' ? searchParams.get('code') : null;
  const isWhatsApp = /^(www\.)?chat\.whatsapp\.com\.?$/.test(hostname) && /^https?:$/.test(protocol);
  return (isWhatsApp && /^\/+(?:invite\/+)?([^/]+)\/*$/i.exec(pathname)?.[1]) || null;
}

function urlOf(text: string): URL | null {
  const url = /^[a-z]+:/i.test(text) ? text : `https://${text}`;
  return URL.canParse(url) ? new URL(url) : null;
}
