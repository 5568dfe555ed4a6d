/** The stand-in's answers, with the wording of the real API. Pure functions: they send nothing and change nothing. */
import { linkTo, type StandInGroup, type StandInInstance, type StandInToken, type World } from './world.ts';

export interface Answer {
  readonly status: number;
  readonly body: object;
}

export function failure(status: number, message: string): Answer {
  return { status, body: { success: false, error: { message } } };
}

export const limitExceeded = failure(429, 'Rate limit exceeded. Try again later.');

/** Returns null if the token may be used for this instance. */
export function refuseToken(world: World, token: string | null, instance: string | null): Answer | null {
  if (token === null) return failure(401, 'Missing token in header');
  const known = world.tokens.get(token);
  if (known === undefined) return failure(401, 'Invalid token');
  if (instance === null) return null;
  if (!world.instances.has(instance)) return failure(404, 'Instance not found');
  if (known.instance !== undefined && known.instance !== instance) {
    return failure(403, 'Instance token does not match the requested instance');
  }
  return null;
}

export function refuseDisconnected(instance: StandInInstance): Answer | null {
  if (instance.connection === 'connected') return null;
  return failure(instance.disconnectedStatus, 'Instance is not connected to WhatsApp');
}

/** Returns null if this instance may reset the link of this group. */
export function refuseReset(group: StandInGroup | undefined, instance: string): Answer | null {
  if (!group?.members.has(instance)) return failure(404, 'Group not found or you are not a member of this group');
  if (!group.admins.has(instance)) return failure(403, 'Not authorized to reset group invite link (must be admin)');
  return null;
}

export function resetAnswer(group: StandInGroup, code: string): Answer {
  return {
    status: 200,
    body: {
      success: true,
      message: 'Group invite link reset successfully',
      groupJid: group.jid,
      inviteCode: code,
      inviteLink: linkTo(code),
    },
  };
}

export function infoAnswer(group: StandInGroup): Answer {
  const links = {
    shown: { inviteLink: linkTo(group.code), inviteCode: group.code },
    empty: { inviteLink: '' },
    missing: {},
  };
  return { status: 200, body: { success: true, group: { jid: group.jid, subject: group.name, ...links[group.link] } } };
}

/** The field names of a group in a list. Both forms have been seen. */
export type ListForm = 'documented' | 'whatsapp';

/** The groups that the instance's phone is a member of, with their members if asked for. */
export function groupsAnswer(
  world: World,
  { name: instance }: StandInInstance,
  { form, includeMembers }: { readonly form: ListForm; readonly includeMembers: boolean },
): Answer {
  const groups = [...world.groups.values()]
    .filter(({ members }) => members.has(instance))
    .map(({ jid, name, members, admins }) => ({
      ...(form === 'documented' ? { groupJid: jid, name, memberCount: members.size } : { id: jid, subject: name }),
      ...(includeMembers && {
        participants: [...members].map((member) => ({
          jid: world.instances.get(member)?.numberJid.replace(/:\d+@/, '@'),
          isAdmin: admins.has(member),
          isSuperAdmin: false,
        })),
      }),
    }));
  return { status: 200, body: { success: true, groups } };
}

/** A token of one instance sees that instance only. Like the real answer, this one contains tokens. */
export function instancesAnswer(world: World, { token, instance: own }: StandInToken, name: string | null): Answer {
  const listed = [...world.instances.values()].filter(
    (instance) => (name === null || instance.name === name) && (own === undefined || instance.name === own),
  );
  if (name !== null && listed.length === 0) return failure(404, 'Instance not found');
  const instances = listed.map(({ name: instanceName, connection, numberJid }) => ({
    instanceName,
    token,
    connection: { state: connection, numberJid },
  }));
  return {
    status: 200,
    body: { success: true, message: 'Instances listed', instances, meta: { total: listed.length } },
  };
}
