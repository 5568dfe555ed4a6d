/**
 * Makes `dist` of `src`: the command line, the library and what the commands load, minified. Packages stay outside.
 *
 * Stack traces stay readable without source maps, which would be as large as the code: functions and classes keep their
 * names, and every line of the code is a line of its source. A comment says which file and line follows where that does
 * not follow from the line before. `src/sourceLines.ts` reads these comments.
 */
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { defineConfig } from 'rolldown';

const keepNames = { function: true, class: true };
/** A comment is shorter than more empty lines. */
const maxEmptyLines = 8;

export default defineConfig({
  // The thread that parses large files is started by its file's name.
  input: { cli: 'src/cli.ts', index: 'src/index.ts', parseThread: 'src/config/parseThread.ts' },
  platform: 'node',
  plugins: [emptied('dist'), requiredPackages(), inlinedLua(), sourceLines()],
  output: {
    dir: 'dist',
    format: 'esm',
    chunkFileNames: '[name].js',
    comments: false,
    sourcemap: true,
    codeSplitting: {
      groups: [
        // What the command line needs before it loads a command.
        {
          name: 'base',
          test: /src\/(?:(?:log|packages|version|address)|config\/(?:nearMiss|problems)|redis\/errors|ryze\/proxies|commands\/(?:usage|output))\.ts$/,
          priority: 1,
        },
      ],
    },
    minify: {
      compress: { keepNames },
      mangle: { toplevel: true, keepNames },
      codegen: { removeWhitespace: true },
    },
  },
});

function emptied(folder) {
  return { name: 'emptied', buildStart: () => rmSync(folder, { recursive: true, force: true }) };
}

/**
 * Packages stay outside and are loaded by `require`. They are CommonJS, and `import` would parse each of their files once
 * more, to find the names that it exports: it takes twice as long.
 */
function requiredPackages() {
  const prefix = '\0required:';
  return {
    name: 'required-packages',
    resolveId(id, importer) {
      if (/^[./\0]/.test(id) || importer === undefined) return null;
      if (id.startsWith('node:') || importer.startsWith(prefix)) return { id, external: true };
      return prefix + id;
    },
    load: (id) => (id.startsWith(prefix) ? `module.exports = require('${id.slice(prefix.length)}')` : null),
  };
}

/** The text of each Lua script in place of reading its file. */
function inlinedLua() {
  return {
    name: 'inlined-lua',
    transform(code, file) {
      const inlined = code.replace(/\bloadScript\('(\w+)', import\.meta\.url\)/g, (_, name) => {
        const lua = readFileSync(join(dirname(file), `${name}.lua`), 'utf8');
        return `loadScript('${name}', ${JSON.stringify(withoutComments(lua))})`;
      });
      return inlined === code ? null : { code: inlined, map: null };
    },
  };
}

/** Also without indentation, but with every line, so that the lines in Redis's error messages are those of the file. */
export function withoutComments(lua) {
  return lua.replace(/--\[\[.*?\]\]/gs, (comment) => comment.replace(/[^\n]/g, '')).replace(/^[ \t]*(?:--.*)?/gm, '');
}

/** Starts a line of the code wherever a line of the source starts. */
function sourceLines() {
  return {
    name: 'source-lines',
    generateBundle(_options, bundle) {
      for (const [name, file] of Object.entries(bundle)) {
        if (name.endsWith('.map')) delete bundle[name];
        // A chunk that only passes on what others export has no source.
        else if (file.type === 'chunk' && file.map !== null) {
          file.code = withSourceLines(file.code.replace(/\n\/\/# sourceMappingURL=.*\n?$/, '\n'), file.map);
          file.map = null;
        }
      }
    },
  };
}

function withSourceLines(code, { mappings, sources, sourcesContent }) {
  const texts = sourcesContent.map((text) => text.split('\n'));
  const files = sources.map((source) => relative('.', join('dist', source)));
  /** Where the next line of the code is from. */
  let [file, line] = [-1, 0];
  return code
    .split('\n')
    .map((generated, index) => {
      let [written, from] = ['', 0];
      for (const place of decode(mappings)[index] ?? []) {
        if (place.source === file && place.line === line - 1) continue;
        const before = texts[place.source]?.[place.line]?.slice(0, place.column);
        // The text of a template goes on after a brace.
        if (before === undefined || before.endsWith('}') || !mayBreak(generated, place.generated)) continue;
        const ahead = place.line - line;
        const isNear = place.source === file && ahead >= 0 && ahead <= maxEmptyLines;
        const marker = isNear
          ? '\n'.repeat(ahead)
          : `//${place.source === file ? '' : files[place.source]}:${place.line + 1}\n`;
        const isFirst = index === 0 && place.generated === 0;
        written += `${generated.slice(from, place.generated)}${isFirst ? '' : '\n'}${marker}`;
        from = place.generated;
        [file, line] = [place.source, place.line + 1];
      }
      line += 1;
      return written + generated.slice(from);
    })
    .join('\n');
}

/** Not after a word, as `return`, and not before what may not start a line. */
function mayBreak(code, at) {
  return !/[\w$]\s*$/.test(code.slice(0, at)) && !/^(?:=>|\+\+|--)/.test(code.slice(at, at + 2));
}

const base64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const decoded = new Map();

/** A source map's mappings, by line of the code. Lines and columns count from 0. */
function decode(mappings) {
  if (decoded.has(mappings)) return decoded.get(mappings);
  let [source, line, column] = [0, 0, 0];
  const lines = mappings.split(';').map((text) => {
    let generated = 0;
    return text
      .split(',')
      .filter(Boolean)
      .flatMap((segment) => {
        const fields = decodeSegment(segment);
        generated += fields[0];
        if (fields.length === 1) return [];
        source += fields[1];
        line += fields[2];
        column += fields[3];
        return [{ generated, source, line, column }];
      });
  });
  decoded.set(mappings, lines);
  return lines;
}

function decodeSegment(text) {
  const fields = [];
  let [value, shift] = [0, 0];
  for (const letter of text) {
    const digit = base64.indexOf(letter);
    value |= (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    fields.push(value & 1 ? -(value >> 1) : value >> 1);
    [value, shift] = [0, 0];
  }
  return fields;
}
