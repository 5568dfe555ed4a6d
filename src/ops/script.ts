/**
 * The script of the pages. It refreshes the page by changing only what differs, so that focus, selection, scroll position
 * and typed text survive. It follows links to other views of the list without loading the page again, searches while
 * somebody types, and shows times in the reader's time zone. Without it, the page works by plain links and reloads.
 */
export const refreshSeconds = 10;

export const script = `
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const dates = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

function localize(root) {
  for (const time of root.querySelectorAll('time')) {
    const text = dates.format(new Date(time.dateTime));
    if (time.title) time.title = text;
    else [time.title, time.textContent] = [time.textContent, text];
  }
  for (const element of root.querySelectorAll('.zone')) element.textContent = zone;
}

// Children with an id or a key are the same node in both; the others are, by their kind and place.
function keyed(parent) {
  const counts = {};
  return new Map(Array.from(parent.childNodes, (node) => {
    const name = node.nodeName;
    counts[name] = (counts[name] ?? 0) + 1;
    return [name + ' ' + (node.id || node.dataset?.key || counts[name]), node];
  }));
}

function patch(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  for (const { name } of Array.from(from.attributes)) if (!to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  const old = keyed(from);
  const children = Array.from(keyed(to), ([key, child]) => {
    const kept = old.get(key);
    if (kept === undefined) return child;
    old.delete(key);
    patch(kept, child);
    return kept;
  });
  for (const gone of old.values()) gone.remove();
  // A node that moves loses the focus, so the others move around it.
  const focused = children.find((child) => child.contains(document.activeElement));
  let next = from.firstChild;
  for (const child of children) {
    while (child === focused && next !== focused) {
      const moved = next;
      next = next.nextSibling;
      from.append(moved);
    }
    if (child === next) next = next.nextSibling;
    else from.insertBefore(child, next);
  }
}

function patchKeepingSelection(from, to) {
  const selection = getSelection();
  const { anchorNode, anchorOffset, focusNode, focusOffset, isCollapsed } = selection;
  patch(from, to);
  if (isCollapsed || !from.contains(anchorNode) || !from.contains(focusNode)) return;
  const within = (node, offset) => Math.min(offset, node.data?.length ?? node.childNodes.length);
  selection.setBaseAndExtent(anchorNode, within(anchorNode, anchorOffset), focusNode, within(focusNode, focusOffset));
}

let wanted = location.href;
let visit = 'replaceState';
let loads = 0;

async function load() {
  const url = wanted;
  const number = ++loads;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(${refreshSeconds * 1000}) });
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
    if (number !== loads) return;
    localize(next);
    patchKeepingSelection(document.querySelector('main'), next.querySelector('main'));
    document.title = next.title;
    document.body.classList.remove('stale');
    if (url !== location.href) history[visit](null, '', url);
  } catch {
    if (number !== loads) return;
    document.title = 'No answer: invite-rotator';
    document.body.classList.add('stale');
  }
}

async function show(url, how) {
  wanted = url;
  visit = how;
  await load();
}

const field = document.querySelector('input[type=search]');
let typing;

function searchNow(how) {
  clearTimeout(typing);
  const url = new URL(wanted);
  url.searchParams.delete('page');
  if (field.value.trim() === '') url.searchParams.delete('q');
  else url.searchParams.set('q', field.value);
  return show(url.href, how);
}

async function follow(url) {
  await show(url, 'pushState');
  field.value = new URL(wanted).searchParams.get('q') ?? '';
  const list = document.querySelector('#list');
  const top = list?.getBoundingClientRect().top ?? 0;
  if (top < 0 || top > innerHeight / 2) list.scrollIntoView();
}

if (field.form.hasAttribute('data-live')) {
  field.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(searchNow, 200, 'replaceState');
  });
  field.form.addEventListener('submit', (event) => {
    event.preventDefault();
    searchNow('pushState');
  });
  addEventListener('click', (event) => {
    const link = event.target.closest('a[data-view]');
    if (link === null || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    follow(link.href);
  });
  addEventListener('popstate', () => {
    field.value = new URL(location.href).searchParams.get('q') ?? '';
    show(location.href, 'replaceState');
  });
}
localize(document);
setInterval(load, ${refreshSeconds * 1000});
`;
