/** The status on a terminal: nothing is wider than it, and with `--watch` nothing is higher. */
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { renderGroup } from '../../src/commands/statusOfGroup.ts';
import { renderStatus } from '../../src/commands/statusView.ts';
import { plainTable } from '../../src/commands/table.ts';
import { fitText, textWidth, wrapText } from '../../src/commands/textWidth.ts';
import { groupStates } from '../../src/groups/states.ts';
import type { Status } from '../../src/status/status.ts';
import { badDay, detail, group, healthy, instance, statusOf } from '../ops/samples.ts';

const file = { file: '/etc/rotation.yaml', hash: 'abc' };
const lastError = {
  ...{ code: 'not_admin', message: `Não é admin 群组\n\x1b[31m${'e\u0301'.repeat(40)}`, count: 3 },
  ...{ at: healthy.at, since: healthy.at },
};
const many: Status = statusOf({
  ...badDay(),
  groups: [
    ...Array.from({ length: 20 }, (_, i) => group(`bad-${i}`, { state: 'failing', lastError })),
    ...Array.from({ length: 280 }, (_, i) => group(`group-${'x'.repeat(i % 50)}-${i}`)),
  ],
});

describe('on a terminal', () => {
  it.each([20, 40, 60, 80, 100, 132, 200])('of %i columns, nothing is wider', (columns) => {
    for (const rows of [null, 24]) {
      const lines = stripVTControlCharacters(renderStatus(many, { columns, rows, ...file })).split('\n');
      expect(lines.filter((line) => textWidth(line) > columns)).toEqual([]);
    }
    const view = { ...detail('vip', { lastError, state: 'failing' }), instanceStatus: instance('bot') };
    const queued = { oneOffs: [], isCut: false };
    const lines = stripVTControlCharacters(renderGroup({ ...view, queued }, columns)).split('\n');
    expect(lines.filter((line) => textWidth(line) > Math.max(columns, 35))).toEqual([]);
  });

  it.each([10, 24, 50])('of %i rows, nothing is higher, and the worst come first', (rows) => {
    const lines = renderStatus(many, { columns: 80, rows, ...file }).split('\n');
    expect(lines.length).toBeLessThan(rows);
    expect(lines[0]).toBe('300 groups: 20 failing, 280 fresh.');
    if (rows < 24) return;
    expect(lines.at(-1)).toMatch(/^and \d+ more$/);
    const listed = lines.filter((line) => /^(bad|group)-/.test(line));
    expect(listed.length + Number(/\d+/.exec(lines.at(-1) ?? ''))).toBe(300);
    expect(listed[0]).toMatch(/^bad-0 +failing /);
  });

  it('shows totals, then what needs attention, instances and groups', () => {
    const text = renderStatus(many, { columns: 120, rows: null, ...file });
    const at = ['300 groups:', 'NEEDS ATTENTION', '20 groups are failing', 'INSTANCE ', 'GROUP '].map((part) =>
      text.indexOf(part),
    );
    expect(at).not.toContain(-1);
    expect(at).toEqual(at.toSorted((a, b) => a - b));
  });

  it('leaves the error, the state and the id, and leaves the rest out, where it is narrow', () => {
    const [head = '', first = ''] = renderStatus(many, { columns: 60, rows: null, ...file })
      .split('\n')
      .slice(-301);
    expect(head).toMatch(/^GROUP +STATE .*REMARKS$/);
    expect(head).not.toContain('REVISION');
    expect(first).toMatch(/^bad-0 +failing .* not_admin 3 times.*…$/);
  });
});

describe('the configuration in force', () => {
  const worker = (host: string, hash: string) => ({
    ...{ host, pid: 7, version: '1.0.0', startedAt: '2026-01-05T09:00:00.000Z' },
    config: { hash, since: '2026-01-05T10:00:00.000Z' },
    serves: null,
  });
  const text = (...workers: Status['workers']) =>
    renderStatus({ ...healthy, workers }, { columns: null, rows: null, ...file });

  it('is shown by its hash and since when, with the live workers', () => {
    expect(text(worker('ops-1', 'abc'))).toContain(
      '1 worker: ops-1 (pid 7, version 1.0.0, for 3h).\nConfiguration in force: abc since 2026-01-05T10:00:00Z (2h).\n',
    );
    expect(text()).toContain('\nNo worker is running.\n');
  });

  it('is compared with the file that the command has read', () => {
    const shown = text(worker('ops-1', 'old'), worker('ops-2', 'other'));
    expect(shown).toContain('Configuration in force on ops-2 (pid 7): other since');
    expect(shown).toContain('/etc/rotation.yaml is abc: no worker has it in force.');
  });
});

describe('one group', () => {
  const view = { instanceStatus: instance('bot'), queued: { oneOffs: [], isCut: false } };

  it('is shown with its state, why, since when and what to do', () => {
    const failing = detail('vip', { state: 'failing', lastError, nextAttemptAt: '2026-01-05T12:05:00.000Z' });
    const text = stripVTControlCharacters(renderGroup({ ...failing, ...view }, null));
    for (const part of [
      /^state +failing: .*, since 2026-01-05T11:00:00Z \(1h ago\)$/m,
      /^remarks +not_admin 3 times in a row, last 0s ago: Não é admin/m,
      /^what to do +\S/m,
      /^JID +120363406289005073@g\.us$/m,
      /^instance +bot, running; 40 of 100 used/m,
      /^next try +2026-01-05T12:05:00Z \(in 5m\)$/m,
      /^verified +2026-01-05T11:30:00Z \(30m ago\); every 1h$/m,
      /^one-offs +none is queued$/m,
    ]) {
      expect(text).toMatch(part);
    }
  });

  it('has a text for each state', () => {
    for (const state of groupStates) {
      expect(renderGroup({ ...detail('vip', { state }), ...view }, null)).toMatch(/^state +\S+: \S/m);
    }
  });
});

describe('the width of a text', () => {
  it('counts wide and combining characters', () => {
    expect(['abc', '群组', 'e\u0301', '🚀', 'ｱ', '한국', '\u200b'].map(textWidth)).toEqual([3, 4, 1, 2, 1, 4, 0]);
    expect(fitText('群组群组', 5)).toBe('群组…');
    expect(fitText('群组群组', 4)).toBe('群…');
    expect(textWidth(fitText('e\u0301'.repeat(9), 4))).toBe(4);
  });

  it('wraps at blanks, and long words anywhere', () => {
    expect(wrapText('one two three', 7)).toEqual(['one two', '  three']);
    expect(wrapText('abcdefgh', 5)).toEqual(['abcde', '  fgh']);
  });

  it('aligns columns, and keeps a cell on its line', () => {
    const table = plainTable(['A', 'B']);
    table.push(['群', 'x'], ['one', 'two\nlines']);
    expect(table.toString()).toBe('A    B\n群   x\none  two lines');
  });
});
