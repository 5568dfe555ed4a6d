/**
 * Makes `dist` of `src`: the command line, the library and what the commands load, minified. Packages stay outside.
 *
 * Stack traces stay readable without source maps, which would be as large as the code: functions and classes keep their
 * names, and a small table says which line of the sources each line of the code is (`rolldown.lines.js`).
 */
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { defineConfig } from 'rolldown';
import { lineTable } from './rolldown.lines.js';

/** What commands load once they need Redis. */
const redis = ['redisTarget', '../redis/connection', '../redis/outage', '../redis/database', '../redis/inspect'];
/** What must start fast, or needs few packages. */
const parts = {
  library: ['index.ts'],
  check: ['commands/check.ts', 'config/parseThread.ts'],
  status: ['status', ...redis].map((name) => join('commands', `${name}.ts`)),
  health: ['commands/health.ts'],
  join: ['commands/join.ts'],
  start: ['commands/start.ts'],
};

/** What the command line loads before a command is in a chunk of its own, as if all parts loaded it. */
const all = Object.keys(parts).length + 2;

const keepNames = { function: true, class: true };

export default defineConfig({
  // The thread that parses large files is started by its file's name.
  input: { cli: 'src/cli.ts', index: 'src/index.ts', parseThread: 'src/config/parseThread.ts' },
  platform: 'node',
  checks: { bundlerTimings: false },
  plugins: [emptied('dist'), requiredPackages(), inlinedLua(), lineTable()],
  output: {
    dir: 'dist',
    format: 'esm',
    chunkFileNames: '[name].js',
    comments: false,
    sourcemap: true,
    codeSplitting: { groups: Array.from({ length: all }, (_, index) => modulesOf(index + 1)) },
    minify: {
      // Statements stay apart, since each is a line.
      compress: { keepNames, sequences: false, joinVars: false },
      mangle: { toplevel: true, keepNames },
      codegen: { removeWhitespace: true },
    },
  },
});

/**
 * The modules that this many parts load, other commands together counting as one more. Those that the same parts load
 * share a chunk, so that no part loads more than it needs, in few files. More parts go first: a chunk takes in what its
 * modules import unless another chunk has it.
 */
function modulesOf(count) {
  return {
    // Not the command line itself, which would run wherever its chunk is loaded.
    test: /\/src\/(?!cli\.ts$)|required:/,
    priority: count,
    debugName: `modules of ${count}`,
    name(id, context) {
      const entries = entriesOf(id, context);
      if (entries.has('cli.ts')) return count === all ? 'base' : null;
      const loading = Object.keys(parts).filter((part) => parts[part].some((entry) => entries.has(entry)));
      // What a part shares with other commands must not bring them that part's packages.
      const isShared = entries.size > 1;
      if (loading.length === 0 || loading.length + (isShared ? 1 : 0) !== count) return null;
      return loading.length === 1 && isShared ? `${loading[0]}-others` : loading.join('-');
    },
  };
}

/** The modules that are loaded by themselves and load this one. */
function entriesOf(id, context) {
  const [entries, seen] = [new Set(), new Set()];
  const visit = (module) => {
    if (seen.has(module)) return;
    seen.add(module);
    const info = context.getModuleInfo(module);
    if (info === null) return;
    if (info.isEntry || info.dynamicImporters.length > 0) entries.add(relative('src', module));
    info.importers.forEach(visit);
  };
  visit(id);
  return entries;
}

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
        const lua = readLua(join(dirname(file), `${name}.lua`));
        return `loadScript('${name}', ${JSON.stringify(lua)})`;
      });
      return inlined === code ? null : { code: inlined, map: null };
    },
  };
}

/**
 * With what it includes, as `src/redis/scripts.ts` reads it, without comments and indentation. Every line stays, and an
 * included file is in the line that includes it, so that the lines in Redis's error messages are those of the file.
 */
export function readLua(file) {
  const lua = readFileSync(file, 'utf8').replace(/^--- @include "(.+)"$/gm, (_, path) =>
    readLua(join(dirname(file), `${path}.lua`)).replaceAll('\n', ' '),
  );
  return lua.replace(/--\[\[.*?\]\]/gs, (comment) => comment.replace(/[^\n]/g, '')).replace(/^[ \t]*(?:--.*)?/gm, '');
}
