/** What the status page looks like, and the one script on it. Both stand in the page itself: it loads nothing. */
import { createHash } from 'node:crypto';

/** Between two refreshes. */
export const refreshSeconds = 10;

/**
 * Puts the newest content in place, so that a search half typed and the place one has scrolled to stay as they are. A
 * page that cannot be refreshed any more says so, instead of showing old figures as if they were new.
 */
export const script = `
const refresh = async () => {
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(${refreshSeconds * 1000}) });
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
    document.querySelector('main').replaceWith(next.querySelector('main'));
    document.title = next.title;
    document.body.classList.remove('stale');
  } catch {
    document.title = 'No answer: invite-rotator';
    document.body.classList.add('stale');
  }
};
setInterval(refresh, ${refreshSeconds * 1000});
`;

/** The page's Content-Security-Policy: nothing from elsewhere, and no script but the one above. */
export const securityPolicy = [
  "default-src 'none'",
  `script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'`,
  "style-src 'unsafe-inline'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

export const style = `
:root {
  color-scheme: light dark;
  --back: light-dark(#fff, #16181b); --text: light-dark(#1c1e21, #e4e6ea); --quiet: light-dark(#5f6570, #9aa1ac);
  --line: light-dark(#dcdfe4, #33373d); --bar: light-dark(#3b7dd8, #6ea3f0); --panel: light-dark(#f5f6f8, #1f2226);
  --good: light-dark(#1d7a3d, #6fcf8d); --warn: light-dark(#8f5f00, #f0b84a); --bad: light-dark(#b3261e, #ff8a80);
}
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 1rem; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
header { align-items: center; display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; justify-content: space-between; }
.quiet { color: var(--quiet); } .good, .fresh { color: var(--good); }
.warn, .overdue, .rotating, .unverified { color: var(--warn); } .bad, .failing, .duplicate, .unreadable_record, .uncertain { color: var(--bad); }
#attention { background: var(--panel); border-left: .3rem solid var(--good); border-radius: .3rem; margin: 1rem 0; padding: .6rem 1rem; }
#attention.bad { border-color: var(--bad); color: inherit; } #attention ul { margin: 0; padding-left: 1.2rem; } #attention p { margin: 0; }
#stale { background: var(--bad); border-radius: .3rem; color: var(--back); display: none; padding: .6rem 1rem; } .stale #stale { display: block; }
.stale main { opacity: .5; }
#states { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; margin: 0; padding: 0; } #states b { font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; } th { color: var(--quiet); font-size: .85rem; font-weight: normal; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .8rem .35rem 0; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; } .short { white-space: nowrap; }
.bar { border: 1px solid var(--line); border-radius: .3rem; display: inline-block; height: .6rem; overflow: hidden; width: 5rem; }
.bar span { background: var(--bar); display: block; height: 100%; } .bar .over { background: var(--bad); }
input { background: var(--back); border: 1px solid var(--line); border-radius: .3rem; box-sizing: border-box; color: inherit; font: inherit; max-width: 100%; padding: .35rem .7rem; width: 18rem; }
a { color: var(--bar); }
@media (max-width: 45rem) {
  tr:has(th) { display: none; } tr { border-bottom: 1px solid var(--line); display: block; padding: .5rem 0; }
  td { border: 0; display: grid; gap: .5rem; grid-template-columns: 7rem minmax(0, 1fr); padding: .1rem 0; }
  td::before { color: var(--quiet); content: attr(data-of); font-size: .85rem; } td:empty { display: none; }
}
`;
