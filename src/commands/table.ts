/** Tables with aligned columns and no borders. */
import { fitText, oneLine, padText, textWidth } from './textWidth.ts';

export interface Table {
  push(...rows: readonly (readonly string[])[]): void;
  toString(): string;
}

export interface Fit {
  /** No line is longer. */
  readonly width: number;
  /** Columns that are shortened, in this order, and the least width of each. */
  readonly shorten: Readonly<Record<string, number>>;
  /** Columns that are left out, in this order, where shortening is not enough. */
  readonly leaveOut: readonly string[];
  /** By column: for example its colour. Applied to the text as it is shown. */
  readonly paint?: Readonly<Record<string, (shown: string) => string>>;
}

const gap = '  ';

export function plainTable(head: readonly string[], fit?: Fit): Table {
  const rows: string[][] = [];
  return {
    push(...more) {
      for (const row of more) rows.push(row.map(oneLine));
    },
    toString: () => render(head, rows, fit),
  };
}

function render(head: readonly string[], rows: readonly string[][], fit: Fit | undefined): string {
  const natural = head.map((name, column) =>
    rows.reduce((widest, row) => Math.max(widest, textWidth(row[column] ?? '')), textWidth(name)),
  );
  const widths = fit === undefined ? natural : fitWidths(head, natural, fit);
  const shown = [...widths.keys()].filter((column) => (widths[column] ?? 0) > 0);
  const line = (cells: readonly string[], isHead: boolean) => {
    const parts = shown.map((column) => {
      const width = widths[column] ?? 0;
      const text = fitText(cells[column] ?? '', width);
      const paint = isHead ? undefined : fit?.paint?.[head[column] ?? ''];
      const padding = padText(text, width).slice(text.length);
      return `${paint === undefined ? text : paint(text)}${column === shown.at(-1) ? '' : padding}`;
    });
    return parts.join(gap).trimEnd();
  };
  return [line(head, true), ...rows.map((row) => line(row, false))].join('\n');
}

/** The width of each column. 0: left out. */
function fitWidths(head: readonly string[], natural: readonly number[], { width, shorten, leaveOut }: Fit): number[] {
  for (let left = 0; ; left++) {
    const isOut = (column: number) => leaveOut.slice(0, left).includes(head[column] ?? '');
    const widths = natural.map((one, column) => (isOut(column) ? 0 : one));
    const least =
      left < leaveOut.length ? Object.entries(shorten) : head.toReversed().map((name) => [name, 1] as const);
    for (const [name, min] of least) {
      const column = head.indexOf(name);
      const now = widths[column] ?? 0;
      widths[column] = Math.max(now - Math.max(excessOf(widths, width), 0), Math.min(min, now));
    }
    if (excessOf(widths, width) <= 0 || left === leaveOut.length) return widths;
  }
}

/** By how much a line of these columns is too long. */
function excessOf(widths: readonly number[], width: number): number {
  const shown = widths.filter((one) => one > 0);
  return shown.reduce((sum, one) => sum + one, gap.length * Math.max(shown.length - 1, 0)) - width;
}
