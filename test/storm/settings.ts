/** The size of a storm, and the times that the program must keep. */
export const workers = 3;
export const queues = ['links-site', 'links-codes', 'links-onboarding'];
export const tokens = ['token-of-the-storm-0123456789', 'other-token-of-the-storm-98765'];
/** Two are in use at any time. An edit may replace one by another. */
export const instanceNames = ['bot', 'bot2', 'bot3', 'bot4', 'bot5'];
export const settleMs = 3_000;
export const timeoutMs = 1_000;
/** The lease of an attempt. */
export const leaseMs = 10_000;
/** Long enough for kills and edits to happen during calls. */
export const latency = { minMs: 5, maxMs: 250 };
export interface Load {
  /** Of each token. */
  readonly limit: { readonly max: number; readonly perMs: number };
  /** The period of all groups, whatever is edited. */
  readonly every?: string;
}
export const usualLoad: Load = { limit: { max: 80, perMs: 2_000 } };
/** Even a slow machine exceeds this limit if it is not kept. */
export const scarceLoad: Load = { limit: { max: 20, perMs: 2_000 }, every: '60s' };
export const verifyMs = 10_000;
/** After this time the other workers unregister groups that only the file of a killed worker had. */
export const deadAfterMs = 20_000;
/** A scheduled rotation whose job was lost with its queue is queued again after this time. */
export const releasedAgainMs = 60_000;
/** A first read that failed is repeated after this time. */
export const readAgainMs = 60_000;
/** Margin on top of the times above, for a busy machine. */
export const marginMs = 15_000;
/** The period of a group before any edit, and the one at the end, with which nothing is due. */
export const period = '10s';
export const finalPeriod = '30d';

export const jids = Array.from({ length: 200 }, (_, i) => `1203634062890${String(i).padStart(5, '0')}@g.us`);
