/** What people see: a group's page to print, and one sentence where there is nothing to lead to. */
import { createHash } from 'node:crypto';
import { type Html, html, raw } from '../web/html.ts';

const style = `
:root { color-scheme: light; }
body { font: 1.2rem/1.5 system-ui, sans-serif; color: #111; background: #fff; text-align: center; margin: 2rem auto; max-width: 24rem; padding: 0 1rem; }
h1 { font-size: 2rem; line-height: 1.2; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; }
p { overflow-wrap: anywhere; }
@page { margin: 2cm; }
@media print {
  body { margin: 0 auto; max-width: 14cm; }
  h1 { font-size: 1.6rem; margin-top: 0; }
  svg { max-height: 50vh; }
  main { break-inside: avoid; }
}
`;

/** The pages' Content-Security-Policy: their own style, and nothing else. */
export const pagePolicy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** `qrSvg`: the address as an SVG element. */
export function renderGroupPage(title: string, address: string, qrSvg: string): string {
  return renderPage(
    title,
    html`<h1>${title}</h1>
<a id="join" href="${address}" aria-label="Join ${title}">${raw(qrSvg)}</a>
<p id="address">${address}</p>`,
  );
}

export function renderNotice(title: string, sentence: string): string {
  return renderPage(title, html`<h1>${title}</h1>\n<p>${sentence}</p>`);
}

function renderPage(title: string, body: Html): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>${raw(style)}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`.text;
}
