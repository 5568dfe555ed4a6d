import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseConfig } from '../../src/config/load.ts';
import { idsFor, renderEntries, surroundingsOf } from '../../src/config/newEntries.ts';
import { formatProblem } from '../../src/config/problems.ts';

const jid = (n: number) => `1203634062890050${String(n).padStart(2, '0')}@g.us`;
const named = (...names: string[]) => names.map((name, i) => ({ jid: jid(i), name, instance: null }));

/** What the file becomes when the entries for these groups are appended. */
function appended(text: string, groups: ReturnType<typeof named>, taken: readonly string[] = []) {
  const fit = surroundingsOf(text);
  const entries = renderEntries(groups, idsFor(groups, taken), fit);
  const parsed = parseConfig(
    `${text}${fit.isLineOpen ? '\n' : ''}${fit.place === 'newList' ? 'groups:\n' : ''}${entries}`,
    '/rotation.yaml',
  );
  return parsed.ok ? parsed.config.groups : parsed.problems.map(formatProblem);
}

const head = 'instances: [{ name: bot, tokenEnv: T }]\n';

describe('ids', () => {
  it.each([
    ['Curso de Verão 2026', 'curso-de-verao-2026'],
    ['  ÉQUIPE №1 (Zürich) ', 'equipe-no1-zurich'],
    ['Straße & Łódź', 'strasse-lodz'],
    ['__x__', 'x'],
    ['🎉 VIP 🎉', 'vip'],
    ['Группа', 'group-005000'],
    ['', 'group-005000'],
    ['a'.repeat(80), 'a'.repeat(64)],
  ])('%j becomes %s', (name, id) => {
    expect([...idsFor(named(name), []).values()]).toEqual([id]);
  });

  it('are different from each other and from those of the file', () => {
    const ids = idsFor(named('VIP', 'vip!', 'Vip', 'a'.repeat(64), 'a'.repeat(70)), ['vip', 'vip-3']);
    expect([...ids.values()]).toEqual(['vip-2', 'vip-4', 'vip-5', 'a'.repeat(64), `${'a'.repeat(62)}-2`]);
  });
});

describe('entries', () => {
  it('are quoted where they would not be text', () => {
    const ids = [...idsFor(named('2026', 'null', 'true', '1e5', '0x1F', 'yes', '~'), []).values()];
    const groups = named('2026', 'null', 'true', '1e5', '0x1F', 'yes', '~');
    const read: { id: unknown; title: unknown }[] = parse(
      renderEntries(groups, idsFor(groups, []), { indent: 0, needsSchedule: false }),
    );
    expect(read.map(({ id }) => id)).toEqual(ids);
    expect(read.map(({ title }) => title)).toEqual(groups.map(({ name }) => name));
  });

  it('are valid whatever the names are', () => {
    const name = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('#', '- a: b', '"', "'", ': ', '*a', '&a', '%', '?', '!x', '|', '>', '{', '[', '\\'),
    );
    const names = fc.array(
      name.map((text) => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ').trim()),
      { minLength: 1, maxLength: 8 },
    );
    fc.assert(
      fc.property(names, (texts) => {
        const groups = appended(`${head}defaults: { every: 7d }\n`, named(...texts));
        expect(groups).toHaveLength(texts.length);
        expect(groups).toMatchObject(
          texts.map((text, i) => ({ title: text || null, identifier: { kind: 'jid', jid: jid(i) } })),
        );
      }),
      { numRuns: 50 },
    );
  });

  it.each([
    ['no groups', `${head}defaults: { every: 7d }\n`],
    ['no groups and no schedule', head],
    ['an empty list', `${head}groups:\n`],
    ['a list that is not indented', `${head}groups:\n- id: a\n  identifier: ABC123XYZ\n  every: 1h\n`],
    [
      'a list that is indented far',
      `${head}groups:\n      - id: a\n        identifier: ABC123XYZ\n        every: 1h\n`,
    ],
    ['no line break at the end', `${head}groups:\n- id: a\n  identifier: ABC123XYZ\n  every: 1h`],
    ['a comment at the end', `${head}groups:\n  - { id: a, identifier: ABC123XYZ, every: 1h }\n# the end\n`],
    ['defaults with cron', `${head}defaults: { cron: "0 9 * * MON" }\ngroups:\n  # none yet\n`],
  ])('fit a file with %s', (_, text) => {
    const groups = appended(text, named('VIP', 'Course'), ['a']);
    expect(groups.at(-1)).toMatchObject({ id: 'course', identifier: { jid: jid(1) } });
    expect(groups.at(-2)).toMatchObject({ id: 'vip', identifier: { jid: jid(0) } });
  });

  it.each([
    ['an empty list in brackets', `${head}groups: []\n`],
    ['a list in brackets', `${head}groups: [{ id: a, identifier: ABC123XYZ, every: 1h }]\n`],
    ['a list before another section', `groups:\n  - { id: a, identifier: ABC123XYZ, every: 1h }\n${head}`],
    ['everything in braces', `{ instances: [{ name: bot, tokenEnv: T }], groups: [] }\n`],
  ])('cannot be appended to a file with %s', (_, text) => {
    expect(surroundingsOf(text).place).toBe('list');
  });

  it('name an instance if the defaults do not', () => {
    expect(surroundingsOf(`defaults: { instance: bot }\n${head}`)).toMatchObject({ defaultInstance: 'bot' });
    const [group] = named('VIP').map((one) => ({ ...one, instance: 'bot-2' }));
    const text = renderEntries(group ? [group] : [], idsFor(named('VIP'), []), { indent: 2, needsSchedule: true });
    expect(text).toBe(
      '  - id: vip\n    title: VIP\n    identifier: 120363406289005000@g.us\n    instance: bot-2\n    every: 7d\n',
    );
  });
});
