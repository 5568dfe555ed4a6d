/**
 * Makes `dist` of `src`: the command line, the library and what the commands load, minified. Packages stay outside.
 *
 * Stack traces stay readable without source maps, which would be as large as the code: functions and classes keep their
 * names, and a small table says which line of the sources each line of the code is (`rolldown.lines.js`).
 */
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { defineConfig } from 'rolldown';
import { lineTable } from './rolldown.lines.js';

const keepNames = { function: true, class: true };

export default defineConfig({
  // The thread that parses large files is started by its file's name.
  input: { cli: 'src/cli.ts', index: 'src/index.ts', parseThread: 'src/config/parseThread.ts' },
  platform: 'node',
  plugins: [emptied('dist'), requiredPackages(), inlinedLua(), lineTable()],
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
      // Statements stay apart, since each is a line.
      compress: { keepNames, sequences: false, joinVars: false },
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
