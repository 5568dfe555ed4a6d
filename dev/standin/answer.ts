/** The stand-in's answers, with the wording of the real API. Pure functions: they send nothing and change nothing. */
import { linkTo, type StandInGroup, type StandInInstance, type World } from './world.ts';

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
  return { status: 200, body: { success: true, group: { jid: group.jid, subject: 'A group', ...links[group.link] } } };
}

export function instancesAnswer(world: World, name: string | null): Answer {
  const listed = [...world.instances.values()].filter((instance) => name === null || instance.name === name);
  const instances = listed.map(({ name: instanceName, connection }) => ({
    instanceName,
    connection: { state: connection },
  }));
  return { status: 200, body: { success: true, instances } };
}
