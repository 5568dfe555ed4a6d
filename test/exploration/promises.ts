/**
 * What must hold, and the cases in which it does not: each by its name, with what it takes for it. A quiet state with a
 * dead link that no case names breaks the promise; so does one that a single verification would not heal.
 */
import { jid, linkOf, type State, tickMs, verification } from './state.ts';
import { happen, inFlight, type Model } from './steps.ts';

/** Nothing is under way, uncertain, owed or due: nobody will look at this group before its next turn. */
export function isQuiet(state: State, model: Model): boolean {
  const { record, processes, request, nowMs } = state;
  if (record.attempt !== null || record.uncertain !== null || record.verificationOwedAt !== null) return false;
  if (request === 'open' || (record.dueAt !== null && record.dueAt <= nowMs)) return false;
  return processes.every(({ doing }) => doing.at === 'idle') && inFlight(state, model).length === 0;
}

export const live = 'live';

/** The newest published link is the live one, and the record's too. */
export function isLive({ record, published, live: code }: State): boolean {
  // Given up before there was any link: nothing was published, so nothing is wrong.
  if (record.revision === null) return published === null && (record.link === null || record.link.code === code);
  return published?.code === code && record.link?.code === code;
}

export const residuals: readonly { readonly name: string; readonly is: (state: State) => boolean }[] = [
  { name: 'somebody reset by hand, and nobody has looked since', is: ({ origin }) => origin.by === 'human' },
  {
    name: 'frozen between lease check and sending for too long, then killed',
    is: ({ origin }) => !origin.inTurn && origin.late && origin.lost === 'died',
  },
  {
    name: 'frozen between lease check and sending for too long, then not answered',
    is: ({ origin }) => !origin.inTurn && origin.late && origin.lost === 'unanswered',
  },
  { name: 'the read that should have told was shown no link', is: ({ blind }) => blind },
];

export function judge(state: State, model: Model): string | null {
  if (isLive(state)) return null;
  const residual = residuals.find(({ is }) => is(state));
  if (residual === undefined) return live;
  return isHealed(state, model) ? residual.name : `${residual.name}: not healed by a verification`;
}

/** Whether one verification puts it right. */
function isHealed(state: State, model: Model): boolean {
  const nowMs = state.nowMs + tickMs;
  if (model.protocol.decide(state.record, verification, nowMs).do !== 'verify') return false;
  const attempt = { id: 'healing', call: 'verify', begunAt: nowMs, leaseUntil: nowMs + tickMs, request: null } as const;
  const begun = happen(state, model, { kind: 'begins', attempt }, nowMs).to;
  const ending = { as: 'read', link: { jid, ...linkOf(state.live) } } as const;
  return isLive(happen(begun, model, { kind: 'ends', attempt, ending }, nowMs).to);
}
