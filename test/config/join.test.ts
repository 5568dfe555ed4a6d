/** The section `join`, and the titles of groups. */
import { expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';

const read = (text: string) => {
  const parsed = parseConfig(`instances: [{ name: bot, tokenEnv: TOKEN }]\n${text}`, '/etc/rotation.yaml');
  return parsed.ok ? parsed.config : parsed.problems.map(({ path, message }) => `${path}: ${message}`);
};
const groups = (title = '') => `groups: [{ id: vip, identifier: 120363406289005073@g.us, every: 1d${title} }]\n`;
const join = (keys: string) => {
  const config = read(`${groups()}join: { ${keys} }`);
  return Array.isArray(config) ? config : config.join;
};
const titled = (title: string) => {
  const config = read(groups(`, title: ${title}`));
  return Array.isArray(config) ? config : config.groups[0]?.title;
};

it.each([
  ['https://example.org', 'https://example.org'],
  ['https://example.org/', 'https://example.org'],
  ['https://EXAMPLE.org:443//', 'https://example.org'],
  ['https://example.org/groups-of/us/', 'https://example.org/groups-of/us'],
  ['http://192.168.0.7:8080', 'http://192.168.0.7:8080'],
  ['https://grüße.example', 'https://xn--gre-6ka8l.example'],
])('accepts the public address %s', (written, publicUrl) => {
  expect(join(`publicUrl: "${written}"`)).toEqual({ host: '127.0.0.1', port: 9401, publicUrl, metrics: null });
});

it.each([
  ['example.org', 'expected an address like https://example.org: it has no scheme; write https://example.org'],
  ['ftp://example.org', 'expected an address like https://example.org'],
  [' https://example.org', 'expected an address like https://example.org'],
  ['https://', 'expected an address like https://example.org'],
  ['https://example.org?from=print', 'must not contain a query or fragment'],
  ['https://example.org/#', 'must not contain a query or fragment'],
  ['https://me:secret@example.org', 'must not contain a user or password'],
  ['https://example.org/gr%20x', 'expected a path of letters, digits, "/", "-", "_", "." and "~" only'],
  ['https://example.org/join/', 'must not end in "/join", which is added to it'],
])('refuses the public address %s', (written, message) => {
  expect(join(`publicUrl: "${written}"`)).toEqual([`join.publicUrl: ${message}`]);
});

it('reads where the metrics are served, and needs a port for them', () => {
  expect(join('port: 0, metrics: { port: 9402 }')).toMatchObject({
    port: 0,
    metrics: { host: '127.0.0.1', port: 9402 },
  });
  expect(join('metrics: { host: 0.0.0.0 }')).toEqual(['join.metrics.port: is required']);
  expect(join('prot: 1')).toEqual(['join.prot: unknown key "prot"; did you mean "port"?']);
});

it('reads the title of a group', () => {
  expect(titled('"  Grüße & <friends> 🎉 "')).toBe('Grüße & <friends> 🎉');
  expect(read(groups())).toMatchObject({ groups: [{ title: null }] });
});

it.each(['2026', '""', '"  "', '"a\\nb"', `"${'x'.repeat(101)}"`, '[a]'])('refuses the title %s', (title) => {
  expect(titled(title)).toEqual([
    expect.stringMatching(/^groups\[0\]\.title: expected a title of 1 to 100 characters on one line/),
  ]);
});

it('accepts no title among the defaults', () => {
  expect(read(`defaults: { title: All }\n${groups()}`)).toEqual([
    'defaults.title: has no effect here: each group has a title of its own',
  ]);
});
