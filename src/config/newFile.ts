/** A small configuration file for one instance, as `init` writes it. Valid as it is; new groups can be appended to it. */
import { idsFor, type NewGroup, renderEntries, scalar } from './newEntries.ts';

export interface NewFile {
  /** Of the JSON Schema for editors, relative to the file. */
  readonly schema: string;
  /** Null for the default. */
  readonly baseUrl: string | null;
  /** Null: to be filled in. */
  readonly instance: string | null;
  readonly tokenEnv: string;
  /** The server's own limit for the token, if it is known. */
  readonly limit: number | null;
  readonly groups: readonly Pick<NewGroup, 'jid' | 'name'>[];
}

export function renderFile({ schema, baseUrl, instance, tokenEnv, limit, groups }: NewFile): string {
  const name = instance === null ? 'my-instance # the name of your instance in RyzeAPI' : scalar(instance);
  const list = groups.map((group) => ({ ...group, instance: null }));
  const entries = renderEntries(list, idsFor(list, []), { indent: 2, needsSchedule: false });
  return `# yaml-language-server: $schema=${schema}
#
# The groups whose invite links are rotated. After an edit: invite-rotator check --online
# Durations: 30s, 5m, 6h, 7d. All keys are in docs/configuration.md, with examples in config/rotation.example.yaml.
${baseUrl === null ? '' : `\napi:\n  baseUrl: ${scalar(baseUrl)}\n`}
# RyzeAPI instances: WhatsApp accounts. The token is in the environment, never here.
instances:
  - name: ${name}
    tokenEnv: ${tokenEnv}
${limitLine(limit)}
# For every group, unless it says otherwise.
defaults:
  every: 7d # from one rotation to the next
  # window: { from: "02:00", to: "05:00" } # scheduled rotations only at night
  # timezone: America/Sao_Paulo

# Last in the file, so that \`invite-rotator groups --yaml\` can be appended.
groups:
${groups.length > 0 ? entries : exampleEntry}`;
}

const documentedLimit = 100;

function limitLine(limit: number | null): string {
  if (limit === null || limit === documentedLimit) return '';
  const max = Math.min(limit, 100_000);
  const reserve = Math.min(10, Math.floor(max / 10));
  return `    rateLimit: { max: ${max}, per: 1m, reserve: ${reserve} } # as RyzeAPI shows it\n`;
}

/** Disabled, so that no call is made for it. */
const exampleEntry = `  # An example: replace it with your own groups.
  - id: example
    identifier: 120363000000000000@g.us # a JID, which \`invite-rotator groups\` lists, or an invite link
    enabled: false
`;
