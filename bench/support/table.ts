import Table from 'cli-table3';

/** Formats rows as an aligned table that is also valid Markdown. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: [...head],
    style: { head: [], border: [] },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '|',
      'left-mid': '|',
      mid: '-',
      'mid-mid': '|',
      right: '|',
      'right-mid': '|',
      middle: '|',
    },
  });
  table.push(...rows.map((row) => [...row]));
  const lines = table.toString().split('\n');
  return lines.filter((line, i) => i <= 1 || !/^[|-]+$/.test(line)).join('\n');
}
