/** Whatever looks like an invite code, given that real ones have 22 characters: letters and digits, or both cases. */
const longMix = /\b(?=[A-Za-z_-]*\d)(?=[\d_-]*[A-Za-z])[A-Za-z0-9_-]{16,}\b/g;
const longMixOfCases = /\b(?=[A-Z]*[a-z])(?=[a-z]*[A-Z])[A-Za-z]{22,}\b/g;

/**
 * Makes a server's words fit for logs and events: one short line, with nothing in it that looks like an invite, and
 * none of `secrets`, which are what the request carried.
 */
export function fitToRepeat(text: string, secrets: readonly string[] = []): string {
  let line = text;
  for (const secret of secrets) line = line.replaceAll(secret, '[redacted]');
  return (
    line
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out.
      .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
      .replace(/chat\.whatsapp\.com\/\S+/gi, 'chat.whatsapp.com/[redacted]')
      .replace(longMix, '[redacted]')
      .replace(longMixOfCases, '[redacted]')
      .trim()
      .slice(0, 200)
  );
}
