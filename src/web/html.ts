/** HTML as template literals. */

export interface Html {
  readonly text: string;
}
type Part = string | number | Html | readonly Html[];

/** Escapes every inserted value that is not `Html`. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { text: String.raw({ raw: strings }, ...parts.map(textOf)) };
}

/** Marks text as HTML. Never for text from outside. */
export function raw(text: string): Html {
  return { text };
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function textOf(part: Part): string {
  if (typeof part === 'string') return part.replace(/[&<>"']/g, (char) => entities[char] ?? '');
  if (typeof part === 'number') return String(part);
  return 'text' in part ? part.text : part.map(({ text }) => text).join('');
}
