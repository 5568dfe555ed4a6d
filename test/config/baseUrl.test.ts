/** The address of RyzeAPI: what is wrong is refused, with what to write instead. */
import { expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';

const rest = `instances: [{ name: bot, tokenEnv: TOKEN }]
groups: [{ id: vip, identifier: "120363406289005073@g.us", every: 1d }]
`;

function read(baseUrl: string) {
  const parsed = parseConfig(`api: { baseUrl: ${JSON.stringify(baseUrl)} }\n${rest}`, '/x.yaml');
  return parsed.ok ? parsed.config.api.baseUrl : parsed.problems.map(({ message }) => message).join('\n');
}

it.each([
  ['https://ryzeapi.cloud/', 'https://ryzeapi.cloud'],
  ['HTTPS://RyzeAPI.cloud:443', 'https://ryzeapi.cloud'],
  ['https://gateway.example/ryze/', 'https://gateway.example/ryze'],
  ['https://gateway.example/api/ryze', 'https://gateway.example/api/ryze'],
  ['http://127.0.0.1:8080', 'http://127.0.0.1:8080'],
  ['http://[::1]:8080/', 'http://[::1]:8080'],
])('accepts %s', (text, url) => expect(read(text)).toBe(url));

const noApi = 'must not end in "/api", which is added to each call:';
const expected = 'expected an address like https://ryzeapi.cloud';
it.each([
  ['https://ryzeapi.cloud/api', `${noApi} write https://ryzeapi.cloud`],
  ['https://ryzeapi.cloud/API/', `${noApi} write https://ryzeapi.cloud`],
  ['https://ryzeapi.cloud/api/group/resetLink/bot', `${noApi} write https://ryzeapi.cloud`],
  ['https://gateway.example:8443//api//', `${noApi} write https://gateway.example:8443`],
  ['https://gateway.example/s3cret/api', `${noApi} leave it out`],
  ['https://ryzeapi.cloud/docs', 'must not have a path: write https://ryzeapi.cloud'],
  ['https://ryzeapi.cloud?token=s3cret', 'must not contain a query or fragment'],
  ['https://ryzeapi.cloud/#s3cret', 'must not contain a query or fragment'],
  ['https://me:s3cret@ryzeapi.cloud', 'must not contain a user or password'],
  ['http://ryzeapi.cloud', 'http would send the token in the clear: use https (http is for loopback hosts only)'],
  ['ryzeapi.cloud', `${expected}: it has no scheme; write https://ryzeapi.cloud`],
  ['ryzeapi.cloud:443/', `${expected}: it has no scheme; write https://ryzeapi.cloud:443`],
  ['localhost:8080', `${expected}: it has no scheme; write http://localhost:8080`],
  ['S3cret.s3cret.s3cret', expected],
  ['ftp://ryzeapi.cloud', expected],
  ['https://ryzeapi .cloud', expected],
  ['https://', expected],
  ['', expected],
])('refuses %j', (text, message) => {
  expect(read(text)).toBe(message);
  expect(read(text)).not.toMatch(/s3cret/i);
});
