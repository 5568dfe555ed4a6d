/** The lists of groups and instances, in every form that has been seen. One call is one request, as for all calls. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, it, onTestFinished } from 'vitest';
import { type StandInOptions, startStandIn } from '../../dev/standin/standIn.ts';
import { createRyzeClient } from '../../src/ryze/client.ts';
import { groupsBody } from '../../src/ryze/lists.ts';

const [jid, other] = ['120363406289005073@g.us', '5511999999999-1400000000@g.us'];
const token = 'a-token-of-some-length';
const call = { instance: 'bot', token };

async function withStandIn(options: Partial<StandInOptions> = {}) {
  const standIn = await startStandIn({
    instances: ['bot', 'bot2'],
    tokens: [{ token }, { token: 'own', instance: 'bot2' }],
    groups: [
      { jid, name: 'Curso de Verão' },
      { jid: other, name: '', admins: ['bot'] },
      { jid: '120363406289005075@g.us', admins: ['bot2'] },
    ],
    ...options,
  });
  const client = createRyzeClient({ baseUrl: standIn.url, timeoutMs: 30_000 });
  onTestFinished(async () => {
    await standIn.close();
    await client.close();
  });
  return { standIn, client };
}

it.each([
  { listForm: 'documented', members: [2, 1] },
  { listForm: 'whatsapp', members: [null, null] },
] as const)('lists the groups of an instance, in the form $listForm', async ({ listForm, members }) => {
  const { standIn, client } = await withStandIn({ listForm });
  expect(await client.listGroups(call)).toEqual({
    kind: 'listed',
    list: {
      groups: [
        { jid, name: 'Curso de Verão', members: members[0] },
        { jid: other, name: '', members: members[1] },
      ],
      unread: 0,
    },
    rateLimit: { limit: 100, remaining: 99, resetInMs: expect.any(Number) },
  });
  expect(standIn.log.all.map(({ path }) => path)).toEqual(['/api/group/list/bot?includeMembers=false']);
});

it('lists instances with their state, and none of their secrets', async () => {
  const { standIn, client } = await withStandIn();
  standIn.setConnection('bot2', 'loggedout');
  expect(await client.listInstances({ token, name: 'bot2' })).toMatchObject({
    list: [{ name: 'bot2', state: 'loggedout' }],
  });
  const all = await client.listInstances({ token });
  expect(all).toMatchObject({ list: [{ name: 'bot', state: 'connected' }, { name: 'bot2' }] });
  expect(JSON.stringify(all)).not.toContain(token);
  expect(await client.listInstances({ token: 'own' })).toMatchObject({ list: [{ name: 'bot2' }] });
  expect(await client.listInstances({ token, name: 'ghost' })).toMatchObject({ code: 'instance_not_found' });
  expect(standIn.log.of({ endpoint: 'instances' })).toHaveLength(4);
});

const faults = [
  [{ kind: 'serverError', effect: false }, 'server_error'],
  [{ kind: 'badBody', body: 'html' }, 'bad_response'],
  [{ kind: 'badBody', body: 'cut' }, 'bad_response'],
  [{ kind: 'badBody', body: 'successFalse' }, 'bad_response'],
  [{ kind: 'cut', effect: false }, 'network_error'],
  [{ kind: 'limit' }, 'rate_limited'],
  [{ kind: 'throttled' }, 'throttled'],
] as const;
it.each(faults)('classifies %j as %s, with one request', async (fault, code) => {
  const { standIn, client } = await withStandIn();
  standIn.faults.next(fault);
  expect(await client.listGroups(call)).toMatchObject({ code });
  expect(standIn.log.all).toHaveLength(1);
});

it('classifies refusals of the instance and of the token', async () => {
  const { standIn, client } = await withStandIn();
  expect(await client.listGroups({ instance: 'bot', token: 'unknown' })).toMatchObject({ code: 'unauthorized' });
  expect(await client.listGroups({ instance: 'bot', token: 'own' })).toMatchObject({ code: 'wrong_instance' });
  expect(await client.listGroups({ instance: 'ghost', token })).toMatchObject({ code: 'instance_not_found' });
  standIn.setConnection('bot', 'disconnected', 400);
  expect(await client.listGroups(call)).toMatchObject({ code: 'instance_disconnected' });
});

it('reads what it knows of an entry, and counts what it cannot read', () => {
  const read = (groups: unknown) => groupsBody.safeParse({ success: true, groups });
  expect(read([{ groupJid: ` ${jid} `, name: 7, memberCount: -1 }, 'x', null, {}, { id: 5 }]).data).toEqual({
    groups: [{ jid, name: '', members: null }],
    unread: 4,
  });
  // The JID of something else is read, and is not a group.
  expect(read([{ id: '1@newsletter', subject: 'News' }]).data).toEqual({ groups: [], unread: 0 });
  expect(read(null).data).toEqual({ groups: [], unread: 0 });
  expect(read([]).data).toEqual({ groups: [], unread: 0 });
  for (const unknown of [undefined, {}, 'none', [{}], ['x', 'y']]) expect(read(unknown).success).toBe(false);
});

it('makes one harmless line of a name, whatever is in it', () => {
  const nameOf = (name: string) => groupsBody.parse({ groups: [{ groupJid: jid, name }] }).groups[0]?.name;
  expect(nameOf('  a\r\nb\tc\u2028d\u0085e  ')).toBe('a b c d e');
  expect(nameOf('\u001b[31mred\u001b[0m\u0007')).toBe('[31mred [0m');
  expect(nameOf('abc\u202egpj.exe\u2066\u200f')).toBe('abc gpj.exe');
  expect(nameOf('\ud800x\udfff')).toBe('x');
  expect(nameOf('👨‍👩‍👧 família')).toBe('👨‍👩‍👧 família');
  expect(nameOf('é'.repeat(5_000))).toHaveLength(100);
  expect(nameOf(`x${'🎉'.repeat(60)}`)).toBe(`x${'🎉'.repeat(49)}`);
  expect(nameOf('join https://chat.whatsapp.com/AbC123 now')).toBe('join https://chat.whatsapp.com/[redacted] now');
  expect(nameOf('\u200b')).toBe('');
});

it.each([
  ['https://api.example.com/api/group/list/bot?includeMembers=false', 'https://api.example.com'],
  ['https://api.example.com/v2/api/group/list/bot', 'https://api.example.com/v2'],
  ['//other.example/login?next=%2Fapi&code=SECRET', 'http://other.example/'],
])('names the target of a redirect to %s', async (location, target) => {
  const server = createServer((_request, response) => void response.writeHead(308, { location }).end('moved'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const baseUrl = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const client = createRyzeClient({ baseUrl, timeoutMs: 30_000 });
  onTestFinished(async () => {
    await client.close();
    server.close();
  });
  expect(await client.listGroups(call)).toMatchObject({
    code: 'bad_response',
    message: `the server redirects to ${target}: correct "api.baseUrl"`,
  });
});
