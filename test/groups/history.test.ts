/** The history of a group's link, and the index by which a link finds its group. */
import { expect, it } from 'vitest';
import type { LinkEvent } from '../../src/contract/event.ts';
import { findLink, indexLinks, readHistory } from '../../src/groups/history.ts';
import { newRecord } from '../../src/groups/record.ts';
import { maxRevisions, rememberedMs, revisionsOf, withRevisions } from '../../src/groups/revisions.ts';
import { makeKeys } from '../../src/redis/keys.ts';
import { info, settled, t } from '../rotation/samples.ts';
import { shows, silent } from '../support/outcomes.ts';
import { jid, line, registryRig } from './registryRig.ts';

const dayMs = 24 * 3_600_000;
const request = { ...info, identity: 'job-1' };

async function adopted() {
  const rig = registryRig();
  await rig.sync(line('vip', 1));
  await rig.adopt('vip', 'CODE1');
  const short = async () => {
    const revisions = await readHistory(rig, jid(1));
    return revisions.map(({ code, reason, group }) => `${code} ${reason} ${group}`);
  };
  return { ...rig, history: () => readHistory(rig, jid(1)), short, find: (code: string) => findLink(rig, code) };
}

it('keeps one entry for each revision, with who asked for it and why, in the step that commits it', async () => {
  const rig = await adopted();
  await rig.reset('vip', 'CODE2');
  await rig.end('vip', await rig.begin('vip', { request }), { kind: 'reset', jid: jid(1), inviteCode: 'CODE3' });
  await rig.end('vip', await rig.begin('vip', { call: 'verify' }), shows('CODE4', jid(1)));
  // A reset without an answer, read back.
  await rig.end('vip', await rig.begin('vip', { request }), silent);
  await rig.end('vip', await rig.begin('vip', { call: 'readBack' }), shows('CODE5', jid(1)));

  const history = await rig.history();
  const asked = { requestId: 'r1', requestedBy: 'me', reason: 'leaked' };
  expect(history.map(({ code, reason, request: who }) => [code, reason, who])).toEqual([
    ['CODE5', 'recovery', asked],
    ['CODE4', 'drift', null],
    ['CODE3', 'request', asked],
    ['CODE2', 'schedule', null],
    ['CODE1', 'adopted', null],
  ]);
  const events = await rig.events();
  expect(history.map(({ revision }) => revision)).toEqual(events.map(({ revision }) => revision).reverse());
  expect(history.map(({ link }) => link)).toEqual(events.map(({ inviteLink }) => inviteLink).reverse());
  expect(history.map(({ from }) => from)).toEqual(events.map(({ rotatedAt }) => Date.parse(rotatedAt!)).reverse());
  expect(history.map(({ until }) => until)).toEqual([null, ...history.map(({ from }) => from).slice(0, -1)]);
});

it('finds a current link, and says when and why one was replaced', async () => {
  const rig = await adopted();
  expect(await rig.find('CODE1')).toEqual({ recordId: jid(1), replaced: null });
  await rig.end('vip', await rig.begin('vip', { request }), { kind: 'reset', jid: jid(1), inviteCode: 'CODE2' });
  await rig.reset('vip', 'CODE3');
  const [third, second] = await rig.history();
  expect(await rig.find('CODE1')).toEqual({
    recordId: jid(1),
    replaced: { at: second!.from, reason: 'request', request: info },
  });
  expect((await rig.find('CODE2'))?.replaced).toEqual({ at: third!.from, reason: 'schedule', request: null });
  expect((await rig.find('CODE3'))?.replaced).toBeNull();
  expect(await rig.find('CODE4')).toBeNull();
});

it('does not call a link replaced that the group is not known to have had', async () => {
  const rig = await adopted();
  // As after a look-up during a reset, whose outcome is not known yet.
  await rig.redis.set(rig.keys.link('CODE9'), jid(1));
  expect(await rig.find('CODE9')).toEqual({ recordId: jid(1), replaced: null });
});

it('belongs to the WhatsApp group: a new id, another instance and a return to the file keep it', async () => {
  const rig = await adopted();
  await rig.sync(line('gold', 1));
  await rig.adopt('gold', 'CODE1');
  await rig.sync(line('gold', 1, ', instance: bot2'));
  await rig.reset('gold', 'CODE2');
  await rig.sync(line('other', 2));
  expect(await rig.find('CODE2')).toMatchObject({ recordId: jid(1), replaced: null });
  expect(await rig.redis.pttl(rig.keys.link('CODE2'))).toBeGreaterThan(0);
  await rig.sync(line('vip', 1));
  expect(await rig.redis.pttl(rig.keys.link('CODE2'))).toBe(-1);
  expect(await rig.redis.ttl(rig.keys.group(jid(1)))).toBe(-1);
  expect(await rig.short()).toEqual(['CODE2 schedule gold', 'CODE1 adopted gold', 'CODE1 adopted vip']);
});

it('goes with the WhatsApp group when its code in the file is resolved', async () => {
  const rig = await adopted();
  await rig.sync(line('other', 2));
  await rig.sync(line('gold', 'CODE7X'));
  expect(await rig.find('CODE7X')).toEqual({ recordId: 'gold', replaced: null });
  await rig.resolve('gold', jid(1), 'CODE7X');
  expect(await rig.find('CODE7X')).toEqual({ recordId: jid(1), replaced: null });
  expect(await rig.short()).toEqual(['CODE7X adopted gold', 'CODE1 adopted vip']);
  expect((await rig.find('CODE1'))?.replaced).toMatchObject({ reason: 'adopted' });
});

it('forgets a link with its revision', async () => {
  const rig = await adopted();
  for (let i = 2; i <= maxRevisions + 2; i++) await rig.reset('vip', `CODE${i}`);
  const history = await rig.history();
  expect(history).toHaveLength(maxRevisions);
  expect(history.at(-1)?.code).toBe('CODE3');
  expect(await rig.find('CODE1')).toBeNull();
  expect(await rig.find('CODE2')).toBeNull();
  expect((await rig.find('CODE3'))?.replaced).toMatchObject({ at: history.at(-1)!.until });
  expect(await rig.redis.exists(rig.keys.link('CODE2'))).toBe(0);
  expect(await rig.redis.pttl(rig.keys.link('CODE3'))).toBeLessThanOrEqual(rememberedMs);
});

it('remembers a revision for 90 days after it was replaced, and the current one always', () => {
  const event = (code: string, at: number) =>
    ({
      type: 'link.rotated',
      revision: at,
      inviteCode: code,
      rotatedAt: new Date(at).toISOString(),
      reason: 'schedule',
      request: null,
      group: 'vip',
    }) as LinkEvent;
  const start = Date.parse('2025-01-01T00:00:00Z');
  const at = (days: number) => start + days * dayMs;
  const { history } = withRevisions(
    [],
    newRecord,
    [event('A', at(0)), event('B', at(80)), event('C', at(160))],
    at(160),
  );
  expect(history.map(({ code }) => code)).toEqual(['C', 'B', 'A']);
  const later = withRevisions(history, newRecord, [event('D', at(171))], at(171));
  expect(later.history.map(({ code }) => code)).toEqual(['D', 'C', 'B']);
  expect(later.forgotten).toEqual(['A']);
  // Also without another rotation.
  const left = revisionsOf(later.history, newRecord, at(400));
  expect(left.map(({ code, until }) => [code, until])).toEqual([['D', null]]);
});

it('has the links that a version without a history has stored', async () => {
  const rig = await adopted();
  const { link, revision, rotatedAt } = await rig.record('vip');
  const replacedCodes = ['OLD2', 'OLD1'];
  await rig.change('vip', { replacedCodes, previous: { code: 'OLD2', revision: revision! - 1_000 } });
  await rig.redis.hdel(rig.keys.group(jid(1)), 'history');
  await rig.redis.del(rig.keys.link('CODE1'));
  expect(await rig.find('CODE1')).toBeNull();
  expect(await rig.short()).toEqual(['CODE1 adopted vip', 'OLD2 null vip']);

  await indexLinks(rig, rig.store);
  expect(await rig.find(link!.code)).toEqual({ recordId: jid(1), replaced: null });
  expect((await rig.find('OLD2'))?.replaced).toEqual({ at: rotatedAt, reason: 'adopted', request: null });
  expect((await rig.find('OLD1'))?.replaced).toEqual({ at: null, reason: null, request: null });

  await rig.reset('vip', 'CODE2');
  expect(await rig.short()).toEqual(['CODE2 schedule vip', 'CODE1 adopted vip', 'OLD2 null vip']);
  expect((await rig.find('CODE1'))?.replaced).toMatchObject({ reason: 'schedule' });
});

it('rotates on with a history that cannot be read', async () => {
  const rig = await adopted();
  await rig.redis.hset(rig.keys.group(jid(1)), 'history', '{"a newer form":1}');
  await rig.reset('vip', 'CODE2');
  expect(await rig.short()).toEqual(['CODE2 schedule vip', 'CODE1 adopted vip']);
});

it('is one hash slot with everything else, and names no code in a key', () => {
  const key = makeKeys('{links}').link('CODE1');
  expect(key).toMatch(/^\{links\}:invite-rotator:link:/);
  expect(key).not.toContain('CODE1');
});

it('has no history of a group that is not stored', async () => {
  expect(await readHistory(registryRig(), jid(9))).toEqual([]);
  expect(revisionsOf([], { ...settled, revision: null }, t)).toEqual([]);
});
