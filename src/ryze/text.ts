/** Makes a server's words fit for logs and events: one short line, with nothing in it that looks like an invite. */
export function withoutControls(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out.
      .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
      .replace(/chat\.whatsapp\.com\/\S+/gi, 'chat.whatsapp.com/[redacted]')
      .replace(/\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9_-]{16,}\b/g, '[redacted]')
      .trim()
      .slice(0, 200)
  );
}
