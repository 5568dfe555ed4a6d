import { describe, expect, it } from 'vitest';
import { inviteCodeOf, readIdentifier } from '../../src/ryze/identifier.ts';

const jid = '120363406289005073@g.us';
const code = 'JkR3x8QmT0aZpL5vWcYh2N';
const link = `https://chat.whatsapp.com/${code}`;
const problemOf = (text: string) => {
  const read = readIdentifier(text);
  return 'problem' in read ? read.problem : null;
};

describe('a JID', () => {
  it.each([
    ['as it is', jid],
    ['with a mark of direction', `\u200e${jid}\u202c`],
    ['in isolates', `\u2068${jid}\u2069`],
    ['with an Arabic mark', `\u061c${jid}`],
    ['with a no-break space', `\u00a0${jid}\u00a0`],
    ['with zero width characters', `\u200b${jid}\u200d`],
    ['with a byte order mark', `\ufeff${jid}`],
    ['with blanks', `\t ${jid} \n`],
    ['with an ideographic space', `\u3000${jid}`],
    ['in angle brackets', `<${jid}>`],
    ['in quotes in blanks', ` "${jid}" `],
    ['in curly quotes', `“${jid}”`],
    ['in brackets in brackets', `[<${jid}>]`],
    ['with a comma', `${jid},`],
    ['in capitals', '120363406289005073@G.US'],
    ['of a device', '120363406289005073:12@g.us'],
  ])('%s', (_name, text) => expect(readIdentifier(text)).toEqual({ kind: 'jid', jid }));

  it('of the older form', () => {
    const old = '5511999999999-1386000000@g.us';
    expect(readIdentifier(old)).toEqual({ kind: 'jid', jid: old });
  });
});

describe('a code', () => {
  it.each([
    ['as a link', link],
    ['bare', code],
    ['bare, in brackets', `<${code}>`],
    ['without a scheme', `chat.whatsapp.com/${code}`],
    ['with http', `http://chat.whatsapp.com/${code}`],
    ['with www.', `https://www.chat.whatsapp.com/${code}`],
    ['with a capital host', `HTTPS://Chat.WhatsApp.Com/${code}`],
    ['with /invite/', `https://chat.whatsapp.com/invite/${code}`],
    ['with a slash at the end', `${link}/`],
    ['with two slashes', `https://chat.whatsapp.com//${code}`],
    ['with a query', `${link}?mode=ac_t&x=a@b.c`],
    ['with a fragment', `${link}#x`],
    ['with a port', `https://chat.whatsapp.com:443/${code}`],
    ['with a dot after the host', `https://chat.whatsapp.com./${code}`],
    ['at the end of a sentence', `${link}.`],
    ['in angle brackets', `<${link}>`],
    ['with invisible characters', `\u200e${link}\u202c\u00a0`],
    ['of the form that opens the app', `whatsapp://chat/?code=${code}`],
    ['of the form that opens the app, without a slash', `whatsapp://chat?code=${code}`],
  ])('%s', (_name, text) => expect(readIdentifier(text)).toEqual({ kind: 'code', code }));

  it.each(['ABCDEFGHIJKLMNOPQRSTUV', 'abcdefghijklmnopqrstuv'])('of letters alone: %s', (text) => {
    expect(readIdentifier(text)).toEqual({ kind: 'code', code: text });
  });

  it('of capitals alone in a link', () => {
    expect(readIdentifier('https://chat.whatsapp.com/LEAKED')).toEqual({ kind: 'code', code: 'LEAKED' });
  });

  it.each(['ABC123XYZ', 'CODE00001', 'FIRST67890', 'abc123xyz', 'AbCdEfGhIjKl', 'k2_Ab-Jk1x8QmT0aZpL5vW'])(
    '%s',
    (text) => expect(readIdentifier(text)).toEqual({ kind: 'code', code: text }),
  );
});

describe('what does not belong in it is named with its place', () => {
  it.each([
    [
      'a mark of direction',
      '12036340\u200e6289005073@g.us',
      'contains the invisible character U+200E after 8 characters',
    ],
    ['a zero width space in a link', 'https://chat.whatsapp.com/AB\u200bC123XYZ', 'U+200B after 28 characters'],
    ['counted from the beginning of the text', '\u200e<ABC\u200c123XYZ>', 'U+200C after 5 characters'],
    ['a soft hyphen', 'ABC\u00ad123XYZ', 'U+00AD after 3 characters'],
    ['a control character', 'ABC\u0007123XYZ', 'U+0007 after 3 characters'],
    ['a blank', 'ABC 123XYZ', 'contains a blank after 3 characters'],
    ['a blank in a JID', '1203634 06289005073@g.us', 'contains a blank after 7 characters'],
    ['a no-break space', 'ABC\u00a0123XYZ', 'contains the blank U+00A0 after 3 characters'],
    ['a line break', 'ABC123XYZ\nDEF456UVW', 'contains the blank U+000A after 9 characters'],
    ['text before a link', `Join: ${link}`, 'contains a blank after 5 characters'],
    ['a fragment of a code', 'ABC123XYZ#x', 'contains "#" after 9 characters'],
    ['a mark before a code', '#ABC123XYZ', 'contains "#" after 0 characters'],
    ['a fragment of a JID', `${jid}#x`, 'contains "#" after 23 characters'],
    ['a query of a JID', `${jid}?a=b`, 'contains "?" after 23 characters'],
    ['a letter of another alphabet', '\u0410BC123XYZ', 'contains the character U+0410 after 0 characters'],
    ['a character in the code of a link', 'https://chat.whatsapp.com/ABC*123', 'contains "*" after 29 characters'],
    ['a path after the code', `${link}/x`, 'contains "/" after 48 characters'],
  ])('%s', (_name, text, problem) => expect(problemOf(text)).toContain(problem));
});

describe('what does not name a group is refused, with what to use', () => {
  it.each([
    ['digits', '120363406289005073', 'append @g.us'],
    ['digits of the older form', '5511999999999-1386000000', 'append @g.us'],
    ['digits with blanks', '1203 6340 6289 0050 73', 'append @g.us'],
    ['a phone', '+5511999999999', 'is a phone number, not a group: expected a JID'],
    ['a phone without +', '5511999999999', 'is a phone number'],
    ['a phone with blanks', '+55 (11) 99999-9999', 'is a phone number'],
    ['a phone with its area in brackets', '(11) 99999-9999', 'is a phone number'],
    ['a phone with dots', '55.11.99999.9999', 'is a phone number'],
    ['a phone as a link', 'tel:+5511999999999', 'is a phone number'],
    [
      'an address of a person',
      '5511999999999@c.us',
      'the address of a person, not of a group: the JID of a group ends in @g.us',
    ],
    ['another address of a person', '5511999999999:3@s.whatsapp.net', 'the address of a person'],
    ['a hidden address of a person', '123456789012345@lid', 'the address of a person'],
    ['a channel', '120363144038483540@newsletter', 'the address of a channel'],
    ['a broadcast list', 'status@broadcast', 'the address of a broadcast list'],
    ['another domain', '120363406289005073@g.us.com', 'contains "." after 23 characters'],
    ['a domain cut short', '120363406289005073@g', 'is not a JID: expected digits and @g.us'],
    ['an email address', 'vip@example.org', 'is not a JID'],
    ['a JID of too few digits', '123@g.us', 'is not a JID'],
    ['a link to a channel', 'https://whatsapp.com/channel/0029VaXk', 'a channel, not to a group: expected a JID'],
    ['a link to a channel with www.', 'https://www.whatsapp.com/channel/0029VaXk', 'a channel'],
    ['a link to a person', 'https://wa.me/5511999999999', 'a person, not to a group'],
    ['a link to a person without a scheme', 'wa.me/5511999999999?text=hi', 'a person'],
    ['another link to a person', 'https://api.whatsapp.com/send?phone=5511999999999', 'a person'],
    ['WhatsApp Web', 'https://web.whatsapp.com/accept?code=ABC123XYZ', 'WhatsApp Web'],
    ['a community', 'https://www.whatsapp.com/communities/x', 'a community'],
    ['a link without a code', 'https://chat.whatsapp.com/', 'its code is missing'],
    ['a link without a path', 'chat.whatsapp.com', 'its code is missing'],
    ['a link with /invite/ alone', 'https://chat.whatsapp.com/invite/', 'is not a whole invite link'],
    ['a link with a name', 'https://chat.whatsapp.com/vip_group', 'is not a whole invite link'],
    ['another host', 'https://example.org/ABC123XYZ', 'is a link, but not an invite link'],
    ['a host that only looks right', 'https://chat.whatsapp.com@example.org/ABC123XYZ', 'not an invite link'],
    ['another scheme', 'ftp://chat.whatsapp.com/ABC123XYZ', 'is not a whole invite link'],
    ['a file', 'groups.yaml', 'is not an invite link'],
    ['a name', 'vip_group', 'is a name, not an invite code'],
    ['a name with a number', 'vip_group1', 'is a name'],
    ['a name with hyphens', 'grupo-vip-2', 'is a name'],
    ['a name in capitals', 'VIP_GROUP_2024', 'is a name'],
    ['a long name', 'customers-of-the-year-2024-berlin', 'is a name'],
    ['a word', 'onboarding', 'is a name'],
    ['a word with a number', 'onboarding2', 'is a name'],
    ['a capital word', 'Onboarding', 'is a name'],
    ['two words', 'VipGroup1', 'is a name'],
    ['words', 'our vip group', 'contains a blank after 3 characters'],
    ['too little', 'AB1', 'expected a JID'],
    ['nothing', '', 'is empty: expected a JID'],
    ['blanks alone', ' \u200e ', 'is empty'],
    ['brackets alone', '<>', 'is empty'],
  ])('%s', (_name, text, problem) => expect(problemOf(text)).toContain(problem));
});

it('refuses a very long text without looking at it', () => {
  expect(problemOf(`a${' '.repeat(100_000)}b`)).toContain('has 100002 characters: expected a JID');
});

it('never quotes an identifier in a problem', () => {
  const secrets = ['ABC123XYZ', code, '5511999999999'];
  const around = (secret: string) => [
    `${secret}#x`,
    `x ${secret}`,
    `https://a.b/${secret}`,
    `${secret}@c.us`,
    `\u0410${secret}`,
  ];
  for (const secret of secrets) for (const text of around(secret)) expect(problemOf(text)).not.toContain(secret);
});

it('reads a long text of the server in time proportional to its length', () => {
  for (const part of [' ', '\u200b', '/', '(', '1-']) {
    const long = part.repeat(64 * 1024);
    expect([inviteCodeOf(`x${long}x`), inviteCodeOf(`https://chat.whatsapp.com/${long}x`)]).toEqual([null, null]);
  }
});

it('reads an answer of the server as leniently, but a link only', () => {
  expect(inviteCodeOf(`${link}#top`)).toBe(code);
  for (const text of ['', code, jid, 'https://chat.whatsapp.com/undefined', 'https://chat.whatsapp.com/']) {
    expect(inviteCodeOf(text)).toBe(null);
  }
});
