/**
 * What users read uses standard terms: no private vocabulary in messages, help, pages, metrics, documentation or examples.
 * The list has one row for each term that was once in use here and that a newcomer would have to guess.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { SyntaxKind } from 'typescript/unstable/ast';
import { createScanner } from 'typescript/unstable/ast/scanner';
import { describe, expect, it } from 'vitest';
import { renderStatus } from '../../src/commands/statusView.ts';
import { errorCodes } from '../../src/contract/errorCodes.ts';
import { groupStates } from '../../src/groups/states.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import { renderPage } from '../../src/ops/page.ts';
import type { Status } from '../../src/status/status.ts';
import { badDay, group, instance, statusOf, well } from '../ops/samples.ts';
import { cli } from '../support/cli.ts';

/** Where a term has an ordinary meaning too, the pattern matches the private one only. */
const privateTerms: readonly { readonly term: RegExp; readonly say: string }[] = [
  { term: /\bleft alone\b/, say: 'paused' },
  // `gate_closed` and `gate.closed` are names. "A gate", the circuit breaker, is a term of the code.
  { term: /\bgates? (?:is |are |was |were )?(?:closed|open|opened)\b|\b(?:closed|open) gates?\b/, say: 'paused' },
  // "This case needs a person" names an actor, and is ordinary.
  { term: /\bneeds? (?:you|anybody)\b|\bwhat needs a person\b|\bgroups? needs? a person\b/, say: 'needs attention' },
  { term: /\bunforeseen\b/, say: 'unexpected' },
  { term: /\bin vain\b/, say: 'without success' },
  { term: /\banew\b/, say: 'again' },
  { term: /\bat the (?:most|least)\b/, say: 'at most, at least' },
  // "There is no group" and "is no longer" are plain English; "soon is no duration" is not.
  { term: /(?<!\bthere )\b(?:is|are) no (?!longer\b|more\b)/, say: 'is not a' },
  { term: /(?<!\bthere )\b(?:is|are) none\b/, say: 'is not a, is not one of' },
  { term: /\b(?:strike|strikes|struck|striking) (?:out|off|clean)\b/, say: 'redact, remove' },
  { term: /\bbr(?:ing|ings|inging|ought) (?:\w+ )?in(?:to)? line\b/, say: 'reconcile' },
  { term: /\bout of turn\b/, say: 'early, unscheduled, stale' },
  { term: /\bplaces? in (?:the )?line\b|\bwaits? in (?:the )?line\b/, say: 'wait list' },
  { term: /\bappointments?\b/, say: 'retry times' },
  // "Doubles" is a verb here.
  { term: /\btwins?\b|\b(?:two|the|its|of) doubles\b/, say: 'duplicates' },
  // "Taken over" from another process is ordinary.
  { term: /\btak(?:e|es|en|ing) over (?:the |a |an |this |its )?(?:files?|edits?|configuration)\b/, say: 'apply' },
  { term: /\bfile was taken over\b|\btaken over, or refused\b/, say: 'applied' },
  { term: /\b(?:tell|tells|told|telling) of\b/, say: 'report, notify of' },
  { term: /\b(?:is|are|was|were) told\b/, say: 'is reported' },
  { term: /\bpatience\b/, say: 'timeout' },
  { term: /\bscouts?\b/, say: 'probe' },
  { term: /\bhappenings?\b/, say: 'input, event' },
  { term: /\bdoors?\b/, say: 'scope' },
  { term: /\bstrays?\b/, say: 'unknown keys, leftovers' },
  { term: /\blaps(?:e|es|ed|ing)\b/, say: 'expire' },
  // "The number of jobs" is ordinary, and "WhatsApp number" too; a number that is connected or is an admin is a phone.
  { term: /\b(?:make|connect|let|by) (?:the|its|your|this) number\b/, say: 'phone, instance' },
  { term: /\bnumbers? (?:that|which) (?:is|are) (?:no|not)\b/, say: 'phone, instance' },
  { term: /\bno admins?\b/, say: 'not an admin' },
  { term: /\bworst clash\b/, say: 'busiest moment' },
  { term: /\bnobody waits\b/, say: 'no waiting' },
  { term: /\bleast time\b|\bmost time\b/, say: 'minimum, maximum' },
  { term: /\bin (?:plain )?words\b/, say: 'as text' },
  { term: /\bfor good\b/, say: 'permanently' },
  { term: /\bheld up\b|\bholds? (?:\w+ )?up\b/, say: 'delay, block' },
  { term: /\bwhoever\b|\b(?:whatever|wherever) (?:is|was|it) asked\b/, say: 'the subject' },
  { term: /\bby itself\b/, say: 'automatically' },
];

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string) => readFileSync(`${root}${path}`, 'utf8');
const filesIn = (folder: string, ending: string) =>
  readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(ending) && !path.includes('node_modules'))
    .map((path) => `${folder}${path}`);

/** The private terms in a text, each with its surroundings. */
function findTerms(text: string): string[] {
  // Texts wrap, in comments of YAML too.
  const flat = text.replace(/\n\s*#\s?/g, ' ').replace(/\s+/g, ' ');
  return privateTerms.flatMap(({ term, say }) =>
    [...flat.matchAll(new RegExp(term, 'gi'))].map(({ index, 0: match }) => {
      const around = flat.slice(Math.max(index - 30, 0), index + match.length + 30);
      return `"${match}" in "...${around}...": say ${say}`;
    }),
  );
}

const textKinds = new Set([
  SyntaxKind.StringLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateHead,
  SyntaxKind.TemplateMiddle,
  SyntaxKind.TemplateTail,
]);

/** The texts of all string literals and templates; not comments, names or types. */
function literalsOf(source: string): string[] {
  const scanner = createScanner(true, undefined, source);
  const texts: string[] = [];
  /** One entry for each open brace: whether it belongs to a template. */
  const braces: boolean[] = [];
  let before = SyntaxKind.Unknown;
  for (let token = scanner.scan(); token !== SyntaxKind.EndOfFile; token = scanner.scan()) {
    const endsValue = [
      SyntaxKind.Identifier,
      SyntaxKind.CloseParenToken,
      SyntaxKind.CloseBracketToken,
      SyntaxKind.NumericLiteral,
    ];
    if (token === SyntaxKind.SlashToken && !endsValue.includes(before)) token = scanner.reScanSlashToken();
    if (token === SyntaxKind.OpenBraceToken) braces.push(false);
    if (token === SyntaxKind.CloseBraceToken && braces.pop() === true) token = scanner.reScanTemplateToken(false);
    if (token === SyntaxKind.TemplateHead || token === SyntaxKind.TemplateMiddle) braces.push(true);
    if (textKinds.has(token)) texts.push(scanner.getTokenValue());
    before = token;
  }
  expect(braces).toEqual([]);
  return texts;
}

it('reads every literal of a source, and no comment', () => {
  const source = [
    '/** Left alone. */ const a = "one"; // in vain',
    `const b = \`two \${c ? \`three \${d}\` : 'four'} five\`;`,
    "const e = /[\"'`]/.test(f) ? { g: 'six' } : h / 2 / 3;",
  ].join('\n');
  expect(literalsOf(source).map((text) => text.trim())).toEqual(['one', 'two', 'three', '', 'four', 'five', 'six']);
});

it('finds private terms, and leaves their ordinary meaning', () => {
  expect(findTerms('the worker is left\n  alone')).toHaveLength(1);
  expect(findTerms('# it asks\n# anew')).toHaveLength(1);
  expect(findTerms('"soon" is no duration')).toHaveLength(1);
  expect(findTerms('there is no group; it is no longer there; the pause doubles; the number of jobs')).toEqual([]);
});

describe('uses no private terms', () => {
  it.each([...filesIn('src/', '.ts'), ...filesIn('dev/demo/', '.ts')])('in the texts of %s', (path) => {
    expect(literalsOf(read(path)).flatMap(findTerms)).toEqual([]);
  });

  const pages = [
    // The changelog may quote the terms that it replaces.
    ...readdirSync(root).filter((path) => path.endsWith('.md') && path !== 'CHANGELOG.md'),
    ...filesIn('docs/', '.md'),
    ...filesIn('examples/', '.md'),
    ...filesIn('config/', '.yaml'),
    ...filesIn('config/', '.json'),
    'docker-compose.yml',
  ];
  it.each(pages)('in %s', (path) => {
    expect(findTerms(read(path))).toEqual([]);
  });

  it('in the help of any command', async () => {
    const help = async (...args: string[]) =>
      (await promisify(execFile)(process.execPath, [cli, ...args, '--help'])).stdout;
    const all = await help();
    const commands = [...(all.split('Commands:')[1] ?? '').matchAll(/^ {2}(\w+)/gm)].map(([, name = '']) => name);
    expect(commands).toContain('rotate');
    const helps = await Promise.all(commands.map((name) => help(name)));
    expect(helps.flatMap(findTerms)).toEqual([]);
    expect(findTerms(all)).toEqual([]);
  });

  it('on the page, on the terminal or in the metrics, whatever is wrong', async () => {
    const lastErrorOf = (code: string) => ({ code, message: 'refused', at: badDay().at, since: badDay().at, count: 2 });
    const status: Status = statusOf({
      ...badDay(),
      paused: ['rotation-planner'],
      groups: [
        ...groupStates.map((state) => group(state, { state, unverified: 3, lastError: lastErrorOf('not_admin') })),
        ...errorCodes.map((code) => group(code, { state: 'failing', lastError: lastErrorOf(code) })),
      ],
      instances: [...errorCodes, 'suspected'].map((reason) =>
        instance(reason, { gate: { reason, opensInMs: 0, closedForMs: 1_000 } }),
      ),
      outbox: { links: 2 },
      resultsByState: { links: { waiting: 1, active: 1, delayed: 1, failed: 1 } },
    });
    const health = { ...well, stopping: true, redisWriteAgeMs: null, stuck: ['bot'], configBroken: true };
    const page = renderPage(status, health, { search: '', page: 1 });
    const metrics = await createMetrics('1.2.3').render(status, health, []);
    expect(
      [
        page,
        renderPage(null, { ...health, redisWriteAgeMs: 1, tickAgeMs: null }, { search: '', page: 1 }),
        renderStatus(status, { columns: null, rows: null, file: '/rotation.yaml', hash: 'abc' }),
        metrics,
      ].flatMap(findTerms),
    ).toEqual([]);
  });
});
