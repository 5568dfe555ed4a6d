/** Who lives, judged by whether its beat changes. */
import { describe, expect, it } from 'vitest';
import { isLive, isRemovable, type Member, observe, type View } from '../../src/groups/liveness.ts';

type Beats = Readonly<Record<string, number>>;
const look = (beats: Beats, over: { isTrusted?: boolean; isRecent?: boolean } = {}) => ({
  isTrusted: over.isTrusted ?? true,
  members: Object.entries(beats).map(
    ([worker, beat]): Member<string> => ({ worker, beat, isRecent: over.isRecent ?? true, note: `${worker} ${beat}` }),
  ),
});
type Looks = readonly ReturnType<typeof look>[];
const after = (...looks: Looks) => looks.reduce<View<string>>((view, one) => observe(view, one), new Map());
const live = (...looks: Looks) => [...after(...looks)].filter(([, seen]) => isLive(seen)).map(([worker]) => worker);
/** The looks at a worker that lived and says nothing any more. */
const silent = (times: number) => [look({ a: 1 }), ...Array.from({ length: times + 1 }, () => look({ a: 2 }))];

describe('a worker', () => {
  it('lives while its beat changes, in whichever direction Redis sets its clock', () => {
    const beats = [5, 6, 3_600_006, 3_600_008, 10, 12].map((a) => look({ a }, { isRecent: false }));
    expect(live(...beats)).toEqual(['a']);
    expect(after(...beats).get('a')).toMatchObject({ missed: 0, note: 'a 12' });
  });

  it('is dead after four looks at the same beat, and no sooner', () => {
    expect(live(...silent(3))).toEqual(['a']);
    expect(live(...silent(4))).toEqual([]);
  });

  it('lives again with its next beat', () => {
    expect(live(...silent(8), look({ a: 3 }))).toEqual(['a']);
  });

  it('stays in the set for a while after its death, since its file still counts', () => {
    expect(isRemovable(after(...silent(9)).get('a')!)).toBe(false);
    expect(isRemovable(after(...silent(10)).get('a')!)).toBe(true);
  });

  it('is dead at first sight if its last beat is old, until it beats', () => {
    const old = look({ a: 1 }, { isRecent: false });
    expect(live(old)).toEqual([]);
    expect(live(old, look({ a: 2 }))).toEqual(['a']);
  });

  it('has half as long to prove that it lives when it is new to the looking process', () => {
    expect(live(look({ a: 1 }), look({ a: 1 }))).toEqual(['a']);
    expect(live(look({ a: 1 }), look({ a: 1 }), look({ a: 1 }))).toEqual([]);
  });

  it('is gone at once when it withdraws', () => {
    expect(live(look({ a: 1, b: 1 }), look({ a: 2, b: 2 }), look({ b: 3 }))).toEqual(['b']);
  });

  it('may live although the set was emptied: it has time to come back', () => {
    const emptied = [look({ a: 1, b: 1 }), look({ a: 2, b: 2 }), look({}, { isTrusted: false })];
    expect(live(...emptied)).toEqual(['a', 'b']);
    expect(live(...emptied, look({ a: 3 }))).toEqual(['a', 'b']);
    expect(live(...emptied, look({ a: 3 }), look({ a: 4 }), look({ a: 5 }))).toEqual(['a']);
    expect(live(...emptied, look({ a: 3, b: 3 }), look({ a: 4 }))).toEqual(['a']);
  });
});
