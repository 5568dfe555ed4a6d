/** Tables with aligned columns and no borders. */
import Table from 'cli-table3';

const lines = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'];
const inner = ['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'];
const chars = { ...Object.fromEntries([...lines, ...inner].map((name) => [name, ''])), middle: '  ' };

export function plainTable(head: string[]): Table.Table {
  return new Table({ head, chars, style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] } });
}
