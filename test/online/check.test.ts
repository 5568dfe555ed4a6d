/** What `check --online` finds out, against the stand-in, in one process. */
import { expect, it, onTestFinished } from 'vitest';
import { type StandInOptions, startStandIn } from '../../dev/standin/standIn.ts';
import { parseConfig } from '../../src/config/load.ts';
import { openAskers } from '../../src/online/asker.ts';
import { checkOnline } from '../../src/online/check.ts';

const jid = (n: number) => `1203634062890050${String(n).padStart(2, '0')}@g.us`;
const env = { TOKEN: 'token-of-the-bot-instance', TOKEN_2: 'token-of-the-other-one' };

interface Rig {
  readonly standIn?: Partial<StandInOptions>;
  /** The identifiers of its groups, which are named `g0`, `g1` and so on; default: those of the stand-in. */
  readonly identifiers?: readonly string[];
  readonly timeout?: string;
}

/** One instance, `bot`, with 5 groups of which it is an admin. */
async function makeRig({ standIn: options = {}, identifiers, timeout = '30s' }: Rig = {}) {
  const jids = [1, 2, 3, 4, 5].map(jid);
  const standIn = await startStandIn({
    instances: ['bot', 'bot2'],
    tokens: [
      { token: env.TOKEN, instance: 'bot' },
      { token: env.TOKEN_2, instance: 'bot2' },
    ],
    groups: jids.map((one, i) => ({ jid: one, code: `CodeOfGroup${i}` })),
    limit: { limit: 1_000 },
    ...options,
  });
  onTestFinished(() => standIn.close());
  const groups = (identifiers ?? jids).map((one, i) => `{ id: g${i}, identifier: "${one}", instance: bot, every: 1d }`);
  const parsed = parseConfig(
    `api: { baseUrl: "${standIn.url}", timeout: ${timeout} }
instances: [{ name: bot, tokenEnv: TOKEN, rateLimit: { max: 1000 } }, { name: bot2, tokenEnv: TOKEN_2 }]
groups: [${groups.join(', ')}]`,
    '/rotation.yaml',
  );
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join('\n'));
  const check = async ({ tokens = env as NodeJS.ProcessEnv, knownJids = new Map<string, string>() } = {}) => {
    const askers = openAskers(parsed.config, tokens);
    const steps: boolean[] = [];
    const found = await checkOnline(parsed.config, askers.all, { knownJids, onGroup: (fine) => steps.push(fine) });
    await askers.close();
    expect(steps).toHaveLength(groups.length);
    const [bot, bot2] = found.instances;
    // The neighbour is never affected.
    if (tokens.TOKEN_2 === env.TOKEN_2) expect(bot2).toMatchObject({ token: true, connected: true, problem: null });
    return { bot, groups: found.groups, problems: found.groups.map(({ problem }) => problem) };
  };
  return { standIn, check };
}

it('finds nothing wrong with a list, a state and one read a group', async () => {
  const { standIn, check } = await makeRig();
  const { bot, groups } = await check();
  expect(bot).toEqual({
    ...{ instance: 'bot', token: true, connected: true, state: 'connected', limit: 1_000, problem: null },
  });
  expect(groups.map(({ group, member, linkVisible, problem }) => [group, member, linkVisible, problem])).toEqual(
    [0, 1, 2, 3, 4].map((i) => [`g${i}`, true, true, null]),
  );
  const asked = standIn.log.of({ token: env.TOKEN });
  expect(asked.map(({ endpoint }) => endpoint)).toEqual(['instances', 'groups', ...Array(5).fill('info')]);
});

it('says of each group why it would fail, and goes on', async () => {
  const { standIn, check } = await makeRig({
    identifiers: [jid(1), jid(9), 'CodeOfGroup2', 'CodeOfGroup0', 'https://chat.whatsapp.com/DeadCode99', jid(4)],
  });
  standIn.group(jid(4)).members.delete('bot');
  const { bot, groups, problems } = await check();
  expect(bot?.problem).toBeNull();
  const notMember =
    "the phone of bot is not a member: add its instance's phone to the group, or correct the group's identifier";
  expect(problems).toEqual([
    null,
    notMember,
    null,
    `is the same WhatsApp group as g0 (${jid(1)}): remove one of them`,
    'its invite link or code leads to no group: name the group by its JID, which `invite-rotator groups` prints',
    notMember,
  ]);
  expect(groups[2]).toMatchObject({ jid: jid(3), member: true, linkVisible: true });
  // The list shows already who is not a member.
  expect(standIn.log.of({ endpoint: 'info' }).map(({ identifier }) => identifier)).toEqual([
    jid(1),
    'CodeOfGroup2',
    'CodeOfGroup0',
    'DeadCode99',
  ]);
});

it('reads a group by the JID that a worker knows, whose code is dead by now', async () => {
  const { standIn, check } = await makeRig({ identifiers: ['CodeOfGroup0'] });
  standIn.resetByHand(jid(1));
  expect((await check()).problems).toEqual([expect.stringContaining('leads to no group')]);
  expect((await check({ knownJids: new Map([['CodeOfGroup0', jid(1)]]) })).problems).toEqual([null]);
});

it('calls a link that is not shown unknown, not wrong', async () => {
  const { standIn, check } = await makeRig();
  standIn.group(jid(1)).link = 'missing';
  standIn.group(jid(2)).link = 'empty';
  const { groups } = await check();
  expect(groups.map(({ linkVisible, problem }) => [linkVisible, problem])).toEqual([
    [null, null],
    [null, null],
    ...Array(3).fill([true, null]),
  ]);
});

it.each([
  ['an unknown token', { ...env, TOKEN: 'wrong' }, /^Invalid token \(unauthorized\): give it a token/, false],
  ['the token of another instance', { ...env, TOKEN: env.TOKEN_2 }, /\(wrong_instance\): use its own token/, true],
  ['no token', { TOKEN_2: env.TOKEN_2 }, /TOKEN \(tokenEnv\) is not set/, null],
])('says once what %s means, and asks nothing more', async (_, tokens, problem, accepted) => {
  const { standIn, check } = await makeRig();
  const { bot, groups } = await check({ tokens });
  expect(bot).toMatchObject({ token: accepted, problem: expect.stringMatching(problem) });
  expect(groups.every((group) => !group.checked && group.problem === null)).toBe(true);
  expect(standIn.log.of({ endpoint: 'info' })).toEqual([]);
});

it.each(['connecting', 'disconnected', 'loggedout'] as const)('reports an instance that is %s', async (state) => {
  const { standIn, check } = await makeRig();
  standIn.setConnection('bot', state);
  expect((await check()).bot).toMatchObject({
    ...{ token: true, connected: false, state },
    problem: `is not connected to WhatsApp (${state}): connect its phone to WhatsApp in RyzeAPI`,
  });
  expect(standIn.log.of({ endpoint: 'groups', instance: 'bot' })).toEqual([]);
});

const page = { kind: 'badBody', body: 'html' } as const;
it('reads on where the form of a list is unknown', async () => {
  const { standIn, check } = await makeRig();
  const body = { success: true, instances: [{ id: 7, status: 'open' }] };
  standIn.faults.random(({ token, endpoint }) => {
    if (token !== env.TOKEN) return null;
    if (endpoint === 'instances') return { kind: 'answer', status: 200, body, effectAfterMs: null };
    return endpoint === 'groups' ? page : null;
  });
  const { bot, groups } = await check();
  expect(bot).toMatchObject({ token: true, connected: null, state: null, problem: null });
  expect(groups.map(({ member, linkVisible, problem }) => [member, linkVisible, problem])).toEqual(
    Array(5).fill([null, true, null]),
  );
});

it.each([
  ['a page', page, 'is not RyzeAPI'],
  ['a redirect', { kind: 'redirect', to: 'https://other.example/api/instance/list' }, 'redirects to https://other.ex'],
  ['throttling', { kind: 'throttled' }, '(throttled): WhatsApp asks it to slow down'],
  ['a cut connection', { kind: 'cut', effect: false }, '(network_error): check the network'],
  ['silence', { kind: 'silence', effectAfterMs: null }, 'no answer within 2000 ms (timeout)'],
] as const)('reports %s in every answer once', async (_, fault, problem) => {
  const { standIn, check } = await makeRig({ timeout: fault.kind === 'silence' ? '2s' : '30s' });
  standIn.faults.random(({ token }) => (token === env.TOKEN ? fault : null));
  const { bot, groups } = await check();
  expect(bot?.problem).toContain(problem);
  expect(bot?.problem).not.toContain('\n');
  expect(groups.every((group) => group.problem === null)).toBe(true);
});

it.each([
  ['a page', page, 'is not RyzeAPI'],
  ['a failure', { kind: 'serverError', effect: false }, '(server_error)'],
  ['a refusal of this group', { kind: 'serverError', effect: false, status: 403, message: 'Forbidden' }, 'Forbidden'],
  ['throttling', { kind: 'throttled' }, 'rate-overlimit (throttled)'],
  ['silence', { kind: 'silence', effectAfterMs: null }, '(timeout)'],
] as const)('reports %s for one group, and goes on', async (_, fault, problem) => {
  const { standIn, check } = await makeRig({ timeout: fault.kind === 'silence' ? '2s' : '30s' });
  standIn.faults.next(fault, { jid: jid(2) });
  const { bot, problems } = await check();
  expect(bot?.problem).toBeNull();
  expect(problems).toEqual([null, expect.stringContaining(problem), null, null, null]);
});

it('stops after three groups in a row that fail in the same way', async () => {
  const { standIn, check } = await makeRig();
  standIn.faults.next({ kind: 'serverError', effect: false }, { endpoint: 'info' }, 5);
  const { bot, groups } = await check();
  expect(bot?.problem).toMatch(/^3 groups in a row could not be read: Internal server error \(server_error\): /);
  expect(groups.map(({ checked }) => checked)).toEqual([true, true, true, false, false]);
});

it('takes a place in the limit again after a 429', async () => {
  const { standIn, check } = await makeRig({ standIn: { limit: { limit: 1_000, perMs: 200 } } });
  standIn.faults.next({ kind: 'limit' }, { jid: jid(2) });
  expect((await check()).problems).toEqual([null, null, null, null, null]);
});
