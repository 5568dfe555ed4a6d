import { expect, it, onTestFinished } from 'vitest';
import { consumeLinks, type NewLinkEvent } from '../../src/index.ts';
import { jids, makeRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const groups = jids.slice(0, 50);
const rotations = 1_000;
const yaml = `
instances: [{ name: bot, tokenEnv: TOKEN, rateLimit: { max: 100000, reserve: 0 }, concurrency: 20 }]
defaults: { every: 1d, firstSeen: wait }
groups: [${groups.map((jid, i) => `{ id: g${i}, identifier: "${jid}" }`).join(', ')}]
results: { queues: [invite-links, site] }
verify: off`;

it('ends with fifty live links although it missed a thousand rotations and was restarted in between', async () => {
  const rig = await makeRig({
    yaml,
    standIn: { groups: groups.map((jid) => ({ jid })), limit: { limit: 100_000 } },
  });
  await rig.start();
  const held = new Map<string, NewLinkEvent>();
  const handler = (event: NewLinkEvent) => {
    expect(event.revision).toBeGreaterThan(held.get(event.group)?.revision ?? 0);
    held.set(event.group, event);
    seen += 1;
  };
  let seen = 0;
  const consume = () => {
    const consumer = consumeLinks({ connection: rig.url, prefix: rig.prefix, queue: 'site', handler });
    onTestFinished(() => consumer.close());
    return consumer;
  };
  const first = consume();
  const rotated = () => rig.events.filter(({ type }) => type === 'link.rotated').length;
  // One round after the other, because requests made together are answered together.
  const asking = (async () => {
    for (let round = 1; round <= rotations / 50; round++) {
      await rig.queue('bot').addBulk(groups.map((_, i) => ({ name: 'rotate', data: { group: `g${i}` } })));
      await until('the round', () => rotated() === round * 50);
    }
  })();
  await until('some links', () => seen > 100);
  await first.close();
  await asking;
  const second = consume();
  await until('some more', () => seen > 500);
  await second.close();
  consume();
  await until('the newest of each', () =>
    groups.every((jid, i) => held.get(`g${i}`)?.inviteCode === rig.standIn.codeOf(jid)),
  );
  expect(rig.standIn.log.of({ endpoint: 'reset' })).toHaveLength(rotations);
});
