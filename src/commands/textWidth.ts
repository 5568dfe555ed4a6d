/** How many columns of a terminal a text takes. Where terminals disagree, the larger number, so that nothing wraps. */

/** Combining marks and characters that only format others. */
const zeroWidth = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
const wide =
  /^[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Script=Yi}\u3000-\u303e\u3200-\u33ff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f000}-\u{1faff}]$/u;
/** Katakana and Hangul of half the width. */
const narrow = /^[\uff61-\uffdc]$/u;
/** An emoji follows this only in its wide form. */
const emojiForm = '\ufe0f';

const ascii = /^[\x20-\x7e]*$/;

export function textWidth(text: string): number {
  if (ascii.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += widthOf(character);
  return width;
}

function widthOf(character: string): number {
  if (character === emojiForm) return 1;
  if (zeroWidth.test(character)) return 0;
  return wide.test(character) && !narrow.test(character) ? 2 : 1;
}

/** The text, or as much of it as fits before an ellipsis. */
export function fitText(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  if (width < 1) return '';
  let fitting = '';
  let left = width - 1;
  for (const character of text) {
    left -= widthOf(character);
    if (left < 0) break;
    fitting += character;
  }
  return `${fitting.trimEnd()}…`;
}

export function padText(text: string, width: number): string {
  return text + ' '.repeat(Math.max(width - textWidth(text), 0));
}

/** Lines of at most that width, broken at blanks where possible. Further lines are indented. */
export function wrapText(text: string, width: number, indent = '  '): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' || line === indent ? `${line}${word}` : `${line} ${word}`;
    if (textWidth(longer) <= width) {
      line = longer;
      continue;
    }
    if (line.trim() !== '') lines.push(line);
    const rest = [...(lines.length === 0 ? word : `${indent}${word}`)];
    line = '';
    for (const character of rest) {
      if (textWidth(line) + widthOf(character) > width) {
        lines.push(line);
        line = width > 2 * indent.length ? indent : '';
      }
      line += character;
    }
  }
  return [...lines, line];
}

/** One line: no line breaks, control characters or marks that change the direction of the text. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ').replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '');
}
