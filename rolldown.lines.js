/**
 * Tells which line of `src` each line of the built code comes from, at a twentieth of a source map's size.
 *
 * Every statement of the code starts a line, which costs almost nothing when compressed. So does every further place
 * that a stack trace can name and that has another source line than the line's first. Then one letter a line says how
 * far its source is from the source of the line before. `src/sourceLines.ts` reads these letters.
 */
import { join, relative } from 'node:path';
import { decode } from '@jridgewell/sourcemap-codec';
import { parseAst } from 'rolldown/parseAst';

/** A letter is the distance from the line after the source of the line before: `@` for none. Farther lines start a section. */
const [noDistance, minDistance, maxDistance] = [64, -24, 62];

/** For each chunk its name, then its sections: `src/log.ts:12` (in the same file `:12`), a space, the letters. */
export function lineTable() {
  return {
    name: 'line-table',
    generateBundle(_options, bundle) {
      const chunks = Object.values(bundle).filter(({ type, map }) => type === 'chunk' && map);
      const tables = chunks.map((chunk) => {
        const { code, sources } = brokenUp(chunk.code.replace(/\n\/\/# sourceMappingURL=.*\n?$/, '\n'), chunk.map);
        chunk.code = code;
        chunk.map = null;
        // A chunk that only passes on what others export has no source.
        return sources.some(Boolean) ? `${chunk.fileName}\n${sectionsOf(sources)}\n` : '';
      });
      for (const name of Object.keys(bundle)) if (name.endsWith('.map')) delete bundle[name];
      this.emitFile({ type: 'asset', fileName: 'lines.txt', source: tables.join('') });
    },
  };
}

/** The code with more line breaks. `sources`: where each line is from, or null if no stack trace can name it. */
function brokenUp(code, map) {
  const { starts, places } = placesOf(code);
  const sourceAt = reader(code, map);
  const sources = [];
  let [text, from, known] = ['', 0, null];
  const endLine = () => {
    sources.push(known);
    known = null;
  };
  const copyUpTo = (to) => {
    const part = code.slice(from, to);
    for (const letter of part) if (letter === '\n') endLine();
    text += part;
    from = to;
  };
  const startLine = () => {
    text += '\n';
    endLine();
  };
  for (const at of [...new Set([...starts.keys(), ...places])].sort((a, b) => a - b)) {
    copyUpTo(at);
    if (starts.has(at) && at > 0 && !text.endsWith('\n')) {
      if (starts.get(at) && text.endsWith(';')) text = text.slice(0, -1);
      startLine();
    }
    if (!places.has(at)) continue;
    const source = sourceAt(at);
    if (source === null) continue;
    const differs = known !== null && (known.file !== source.file || known.line !== source.line);
    if (differs && mayBreak(text, code, at)) startLine();
    known ??= source;
  }
  copyUpTo(code.length);
  return { code: text, sources: [...sources, known] };
}

const bodies = new Set(['Program', 'BlockStatement', 'StaticBlock', 'ClassBody']);

/**
 * `starts`: the offsets at which statements start, and whether the semicolon before may give way to the line's end.
 * `places`: the offsets that a stack trace can name.
 */
function placesOf(code) {
  const [starts, places] = [new Map(), new Set()];
  const visit = (node) => {
    if (node === null || typeof node !== 'object') return;
    if (Array.isArray(node)) return node.forEach(visit);
    const statements = bodies.has(node.type) ? node.body : node.type === 'SwitchCase' ? node.consequent : [];
    for (const [index, { start }] of statements.entries()) {
      const mayGiveWay = index > 0 && node.type !== 'ClassBody' && endsInSemicolon(statements[index - 1]);
      starts.set(start, mayGiveWay && !/[([`+\-/*]/.test(code[start]));
    }
    const place = placeOf(node);
    if (place !== null) places.add(place);
    for (const key in node) if (key !== 'type') visit(node[key]);
  };
  visit(parseAst(code));
  return { starts, places };
}

/** Not a loop with an empty body, whose semicolon means something. */
function endsInSemicolon({ type, consequent, alternate, body }) {
  if (type === 'IfStatement') return endsInSemicolon(alternate ?? consequent);
  if (/^(?:For|While|Labeled)/.test(type)) return endsInSemicolon(body);
  return /^(?:Expression|Return|Throw|Break|Continue)Statement$|^VariableDeclaration$/.test(type);
}

function placeOf({ type, start, callee, property, tag }) {
  switch (type) {
    case 'CallExpression':
      return (callee.type === 'MemberExpression' ? callee.property : callee).start;
    case 'MemberExpression':
      return property.start;
    case 'TaggedTemplateExpression':
      return tag.start;
    case 'NewExpression':
    case 'ThrowStatement':
    case 'AwaitExpression':
    case 'ReturnStatement':
    case 'TemplateLiteral':
    case 'FunctionDeclaration':
    case 'ClassDeclaration':
    case 'MethodDefinition':
      return start;
    default:
      return null;
  }
}

/** Not after a word, such as `return`, and not before what may not start a line. Minified code has no two blanks in a row. */
function mayBreak(before, code, at) {
  return !/[\w$]\s?$/.test(before.slice(-2)) && !/^(?:=>|\+\+|--)/.test(code.slice(at, at + 2));
}

function sectionsOf(sources) {
  let [text, next] = ['', { file: '', line: 0 }];
  for (const source of sources) {
    // A line that no stack trace can name goes on from the line before.
    const { file, line } = source ?? (text === '' ? sources.find((known) => known !== null) : next);
    const distance = line - next.line;
    if (file !== next.file || distance < minDistance || distance > maxDistance)
      text += `${text === '' ? '' : '\n'}${file === next.file ? '' : file}:${line} @`;
    else text += String.fromCharCode(noDistance + distance);
    next = { file, line: line + 1 };
  }
  return text;
}

/** A function from an offset of the code to its source. */
function reader(code, { mappings, sources }) {
  const files = sources.map((source) => relative('.', join('dist', source)));
  const segments = decode(mappings);
  const lines = [0];
  for (let at = code.indexOf('\n'); at !== -1; at = code.indexOf('\n', at + 1)) lines.push(at + 1);
  return (offset) => {
    const line = lines.findLastIndex((start) => start <= offset);
    const [, file, sourceLine] = segments[line]?.findLast(([column]) => column <= offset - lines[line]) ?? [];
    return files[file]?.startsWith('src/') ? { file: files[file], line: sourceLine + 1 } : null;
  };
}
