/** HTML in template literals, in which everything put in is escaped unless it is HTML already. */

export interface Html {
  readonly text: string;
}
type Part = string | number | Html | readonly Html[];

/** Escapes whatever is put in, unless it is HTML already. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { text: String.raw({ raw: strings }, ...parts.map(textOf)) };
}

/** Text that is HTML as it stands: never what came from outside. */
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
