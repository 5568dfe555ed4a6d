/** The style of the pages: light or dark as the reader prefers; on a narrow screen, each row of a table is a card. */
export const style = `
:root {
  color-scheme: light dark;
  --back: light-dark(#fff, #16181b); --text: light-dark(#1c1e21, #e4e6ea); --quiet: light-dark(#5f6570, #9aa1ac);
  --line: light-dark(#dcdfe4, #33373d); --bar: light-dark(#3b7dd8, #6ea3f0); --panel: light-dark(#f5f6f8, #1f2226);
  --link: light-dark(#1f5fb8, #8ab6f7);
  --good: light-dark(#1d7a3d, #6fcf8d); --warn: light-dark(#8f5f00, #f0b84a); --bad: light-dark(#b3261e, #ff8a80);
}
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; overflow-wrap: anywhere; padding: 1rem; }
h1 { font-size: 1.3rem; margin: 0; } h1 a { color: inherit; text-decoration: none; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
header { align-items: center; display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; justify-content: space-between; }
a { color: var(--link); text-decoration-thickness: 1px; text-underline-offset: .15em; }
a:focus-visible, input:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.quiet { color: var(--quiet); } .good, .fresh { color: var(--good); }
.warn, .overdue, .rotating, .unverified { color: var(--warn); } .bad, .failing, .duplicate, .unreadable_record, .uncertain { color: var(--bad); }
.hidden { clip-path: inset(50%); height: 1px; overflow: hidden; position: absolute; white-space: nowrap; width: 1px; }
.id { display: inline-block; max-width: 100%; overflow: hidden; text-overflow: ellipsis; vertical-align: bottom; white-space: nowrap; }
td .id { max-width: clamp(7rem, 10vw, 10rem); } td:first-child .id { max-width: clamp(9rem, 16vw, 16rem); } .whole { overflow-x: auto; text-overflow: clip; }
#attention { background: var(--panel); border-left: .3rem solid var(--good); border-radius: .3rem; margin: 1rem 0; padding: .6rem 1rem; }
#attention.bad { border-color: var(--bad); color: inherit; } #attention h2 { margin: 0 0 .3rem; } #attention p { margin: 0; }
#attention ul { display: grid; gap: .7rem; list-style: none; margin: 0; padding: 0; } #attention li { min-width: 0; }
#attention .head { display: flex; flex-wrap: wrap; gap: 0 .8rem; } #attention .head > *, #attention .groups > * { max-width: 100%; min-width: 0; }
#attention .groups { display: flex; flex-wrap: wrap; gap: 0 1rem; }
#stale { background: var(--bad); border-radius: .3rem; color: var(--back); display: none; padding: .6rem 1rem; } .stale #stale { display: block; }
.stale main { opacity: .5; }
#states { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; margin: 0; padding: 0; }
#states a { color: inherit; } #states b { font-variant-numeric: tabular-nums; } [aria-current] { font-weight: bold; text-decoration-thickness: 2px; }
table { border-collapse: collapse; width: 100%; } th { color: var(--quiet); font-size: .85rem; font-weight: normal; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .8rem .35rem 0; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; } .long { overflow-wrap: anywhere; } .short { white-space: nowrap; } .outcome { min-width: 9.5rem; }
.bar { border: 1px solid var(--line); border-radius: .3rem; display: inline-block; height: .6rem; overflow: hidden; width: 5rem; }
.bar span { background: var(--bar); display: block; height: 100%; } .bar .over { background: var(--bad); }
dl { display: grid; gap: .3rem 1rem; grid-template-columns: max-content minmax(0, 1fr); margin: 1rem 0; } dt { color: var(--quiet); } dd { margin: 0; min-width: 0; }
input { background: var(--back); border: 1px solid var(--line); border-radius: .3rem; box-sizing: border-box; color: inherit; font: inherit; max-width: 100%; padding: .35rem .7rem; width: 20rem; }
footer { margin-top: 1.5rem; } footer a { margin-right: .6rem; }
@media (max-width: 64rem) {
  thead { clip-path: inset(50%); height: 1px; overflow: hidden; position: absolute; width: 1px; }
  table, tbody { display: block; } tbody tr { border-bottom: 1px solid var(--line); display: block; padding: .5rem 0; }
  td { border: 0; display: grid; gap: .5rem; grid-template-columns: 7rem minmax(0, 1fr); padding: .1rem 0; } td:empty { display: none; }
  td::before { color: var(--quiet); content: attr(data-of); content: attr(data-of) / ""; font-size: .85rem; } td .id, td:first-child .id { max-width: 100%; } .outcome { min-width: 0; } td.short { white-space: normal; }
  form, input { width: 100%; } dl { grid-template-columns: minmax(0, 1fr); gap: 0; } dd { margin-bottom: .5rem; }
}
`;
