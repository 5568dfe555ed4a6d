/**
 * Asks RyzeAPI what a worker would meet, without changing anything: for each instance its token, its connection and the
 * server's limit; for each of its groups whether the phone is a member and whether the link is shown. What an answer does
 * not say is null, which means unknown and never "no".
 */
import type { Config, GroupConfig } from '../config/config.ts';
import { identifierText } from '../ryze/identifier.ts';
import type { GroupList } from '../ryze/lists.ts';
import { type CallFailure, type CallOutcome, isFailure, type RateLimit } from '../ryze/outcome.ts';
import { failureText, policies } from '../ryze/policy.ts';
import type { Asked, Asker } from './asker.ts';

export interface InstanceFinding {
  readonly instance: string;
  /** Whether the server accepted its token. */
  readonly token: boolean | null;
  readonly connected: boolean | null;
  /** RyzeAPI's word for the connection. */
  readonly state: string | null;
  /** The server's own limit for the token. */
  readonly limit: number | null;
  /** Why all of its groups would fail. */
  readonly problem: string | null;
}

export interface GroupFinding {
  readonly group: string;
  readonly instance: string;
  readonly jid: string | null;
  readonly member: boolean | null;
  /** A visible link is a strong hint that the phone is an admin. */
  readonly linkVisible: true | null;
  /** Whether the group itself was asked about, or found missing in the list. */
  readonly checked: boolean;
  /** Why it would fail. */
  readonly problem: string | null;
}

export interface OnlineFindings {
  readonly instances: readonly InstanceFinding[];
  /** In the order of the file. */
  readonly groups: readonly GroupFinding[];
}

export interface OnlineOptions {
  /** JIDs of codes that a worker has resolved before: these codes may be dead by now. */
  readonly knownJids: ReadonlyMap<string, string>;
  /** Called for each group, once it was checked. */
  readonly onGroup: (isFine: boolean) => void;
}

/** Instances are asked at the same time, the groups of one after another. */
export async function checkOnline(
  { groups }: Pick<Config, 'groups'>,
  asked: readonly Asked[],
  options: OnlineOptions,
): Promise<OnlineFindings> {
  const results = await Promise.all(
    asked.map((one) =>
      checkInstance(
        one,
        groups.filter(({ instance }) => instance === one.instance.name),
        options,
      ),
    ),
  );
  const findings = new Map(results.flatMap((result) => result.groups).map((one) => [one.group, one]));
  return {
    instances: results.map(({ instance }) => instance),
    groups: withDuplicates(groups.flatMap(({ id }) => findings.get(id) ?? [])),
  };
}

/** Of two entries that are one WhatsApp group, only the first one is rotated. */
function withDuplicates(groups: readonly GroupFinding[]): GroupFinding[] {
  const firsts = new Map<string, string>();
  return groups.map((finding) => {
    const first = finding.jid === null ? undefined : firsts.get(finding.jid);
    if (first !== undefined && finding.problem === null) {
      return { ...finding, problem: `is the same WhatsApp group as ${first} (${finding.jid}): remove one of them` };
    }
    if (finding.jid !== null && first === undefined) firsts.set(finding.jid, finding.group);
    return finding;
  });
}

interface Result {
  readonly instance: InstanceFinding;
  readonly groups: readonly GroupFinding[];
}

type Draft<T> = { -readonly [K in keyof T]: T[K] };

async function checkInstance(
  { instance, asker }: Asked,
  groups: readonly GroupConfig[],
  { knownJids, onGroup }: OnlineOptions,
): Promise<Result> {
  const { name } = instance;
  const finding: Draft<InstanceFinding> = {
    ...{ instance: name, token: null, connected: null, state: null, limit: null, problem: null },
  };
  const found: GroupFinding[] = [];
  const add = (group: GroupFinding) => {
    found.push(group);
    onGroup(group.checked && group.problem === null);
  };
  if ('problem' in asker) finding.problem = asker.problem;
  else {
    const { problem, list } = await checkAccess(asker, finding);
    finding.problem =
      problem ?? (await checkGroups(asker, groups, { knownJids, isMember: membershipIn(list), finding, add }));
  }
  for (const group of groups.slice(found.length)) add(notChecked(group));
  return { instance: finding, groups: found };
}

/** The list of its groups, null where unknown; or why the instance cannot work at all. */
async function checkAccess(
  asker: Asker,
  finding: Draft<InstanceFinding>,
): Promise<{ problem: string | null; list: GroupList | null }> {
  const states = await asker.instances();
  learn(finding, states);
  if (isFailure(states)) {
    // A token of one instance may find no other one. The list of groups tells what is wrong.
    const isFinal = concernsAll(states) && states.code !== 'instance_not_found';
    if (isFinal || isBusy(states) || hasNoAnswer(states)) return { problem: failureText(states), list: null };
  } else {
    const own = states.list.find(({ name }) => name === finding.instance);
    finding.state = own?.state ?? null;
    finding.connected = isConnected(finding.state);
    if (finding.connected === false) {
      const advice = policies.instance_disconnected.advice;
      return { problem: `is not connected to WhatsApp (${finding.state}): ${advice}`, list: null };
    }
  }
  const listed = await asker.groups();
  learn(finding, listed);
  if (!isFailure(listed)) return { problem: null, list: listed.list };
  const isHopeless = concernsAll(listed) || isBusy(listed) || hasNoAnswer(listed) || isFailure(states);
  return { problem: isHopeless ? failureText(listed) : null, list: null };
}

/** Whether the phone is a member of the group with this JID; null if the list does not tell. */
type IsMember = (jid: string) => boolean | null;

interface Reading {
  readonly knownJids: ReadonlyMap<string, string>;
  readonly isMember: IsMember;
  readonly finding: Draft<InstanceFinding>;
  readonly add: (group: GroupFinding) => void;
}

/** This many failures in a row that are not the groups' own are the instance's. */
const maxInARow = 3;

/** Returns why it stopped before the last group, if it did. */
async function checkGroups(asker: Asker, groups: readonly GroupConfig[], reading: Reading): Promise<string | null> {
  let inARow = 0;
  for (const [i, group] of groups.entries()) {
    const known = jidOf(group, reading.knownJids);
    if (known !== null && reading.isMember(known) === false) {
      reading.add({ ...notChecked(group), jid: known, member: false, checked: true, problem: notMember(group) });
      continue;
    }
    const outcome = await asker.info(known ?? identifierText(group.identifier));
    learn(reading.finding, outcome);
    if (isFailure(outcome) && concernsAll(outcome)) return failureText(outcome);
    reading.add(findingOf(group, known, outcome, reading.isMember));
    inARow = isFailure(outcome) && policies[outcome.code].scope !== 'group' ? inARow + 1 : 0;
    if (isFailure(outcome) && inARow === maxInARow && i < groups.length - 1) {
      return `${maxInARow} groups in a row could not be read: ${failureText(outcome)}`;
    }
  }
  return null;
}

function findingOf(group: GroupConfig, known: string | null, outcome: CallOutcome, isMember: IsMember): GroupFinding {
  if (isFailure(outcome)) {
    const isDead = outcome.code === 'group_not_found' && known === null;
    const problem = isDead ? deadLink : failureText(outcome);
    const member = known === null ? null : isMember(known);
    return { ...notChecked(group), jid: known, member, checked: true, problem };
  }
  const { jid, inviteCode } = outcome;
  const member = isMember(jid);
  const problem = member === false ? notMember(group) : null;
  const linkVisible = inviteCode === null ? null : true;
  return { ...notChecked(group), jid, member, linkVisible, checked: true, problem };
}

const deadLink =
  'its invite link or code leads to no group: name the group by its JID, which `invite-rotator groups` prints';

function notMember({ instance }: GroupConfig): string {
  return `the phone of ${instance} is not a member: ${policies.group_not_found.advice}`;
}

function notChecked({ id, instance }: GroupConfig): GroupFinding {
  const unknown = { jid: null, member: null, linkVisible: null, checked: false, problem: null };
  return { group: id, instance, ...unknown };
}

function jidOf({ identifier }: GroupConfig, knownJids: ReadonlyMap<string, string>): string | null {
  return identifier.kind === 'jid' ? identifier.jid : (knownJids.get(identifier.code) ?? null);
}

/** `list`: null where unknown. */
function membershipIn(list: GroupList | null): IsMember {
  const jids = new Set(list?.groups.map(({ jid }) => jid));
  const isComplete = list !== null && list.unread === 0;
  return (jid) => jids.has(jid) || (isComplete ? false : null);
}

const connected = ['connected'];
const notConnected = ['connecting', 'disconnected', 'loggedout', 'qr', 'closed', 'banned'];

/** Null for a word that is not known. */
function isConnected(state: string | null): boolean | null {
  if (state === null) return null;
  return connected.includes(state) ? true : notConnected.includes(state) ? false : null;
}

/** Answers that the API documents to mean the same for every group of the instance. */
function concernsAll({ code, kind }: CallFailure): boolean {
  if (isBusy({ code })) return code === 'rate_limited';
  return policies[code].scope === 'instance' && kind === 'rejected';
}

/** One group may be throttled while its neighbours are not. */
function isBusy({ code }: Pick<CallFailure, 'code'>): boolean {
  return code === 'throttled' || code === 'rate_limited';
}

function hasNoAnswer({ code }: CallFailure): boolean {
  return code === 'network_error' || code === 'timeout';
}

/** What any answer shows of the token. */
function learn(
  finding: Draft<InstanceFinding>,
  outcome: { readonly kind: string; readonly rateLimit?: RateLimit | null },
): void {
  finding.limit = outcome.rateLimit?.limit ?? finding.limit;
  if (!isFailure(outcome)) finding.token = true;
  else if (concernsAll(outcome)) {
    if (outcome.code === 'unauthorized') finding.token = false;
    if (outcome.code === 'wrong_instance' || outcome.code === 'instance_disconnected') finding.token = true;
    if (outcome.code === 'instance_disconnected') finding.connected = false;
  }
}
