/** The page to print: a group's name and its stable address, as text and as a QR code. */
import QRCode from 'qrcode';

export async function renderPage(name: string, address: string): Promise<string> {
  const code = await QRCode.toString(address, { type: 'svg', errorCorrectionLevel: 'M', margin: 4 });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(name)}</title>
<style>
  body { font: 1.2rem/1.5 system-ui, sans-serif; text-align: center; margin: 2rem auto; max-width: 24rem; }
  svg { width: 100%; height: auto; }
</style>
</head>
<body>
<h1>${escapeHtml(name)}</h1>
<a id="join" href="${escapeHtml(address)}">${code}</a>
<p>${escapeHtml(address)}</p>
</body>
</html>
`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => entities[char] ?? '');
}
