/** How calls end, for tests that make none. */
import type { SlotCall } from '../../src/budget/budget.ts';
import type { ErrorCode } from '../../src/contract/errorCodes.ts';
import type { CallFailure, CallOutcome } from '../../src/ryze/outcome.ts';

/** The group that outcomes are about unless a test names another. */
export const jid = '120363406289005073@g.us';

export const resetTo = (inviteCode: string, group = jid): CallOutcome => ({ kind: 'reset', jid: group, inviteCode });
/** null: no link is shown. */
export const shows = (inviteCode: string | null, group = jid): CallOutcome => ({
  kind: 'read',
  jid: group,
  inviteCode,
});

export const failed = (code: ErrorCode, over: Partial<CallFailure> = {}): CallFailure => ({
  kind: 'rejected',
  code,
  message: code,
  httpStatus: 500,
  over: true,
  ...over,
});
export const rejected = failed('not_admin');
/** `over`: the API has ended the call. */
export const unknown = (over: boolean): CallFailure => failed('server_error', { kind: 'unknown', over });
/** No answer came. */
export const silent = failed('timeout', { kind: 'unknown', over: false, httpStatus: null });

/** A call as the budget of its slot learns of it. */
export const slotCall = (outcome: CallOutcome, over: Partial<SlotCall> = {}): SlotCall => ({
  outcome,
  tookMs: 5,
  startedAt: 0,
  isNews: true,
  ...over,
});
