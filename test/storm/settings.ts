/** What a storm is made of, and the times that its program keeps to. */

export const workers = 3;
export const queues = ['links-site', 'links-codes', 'links-onboarding'];
export const tokens = ['token-of-the-storm-0123456789', 'other-token-of-the-storm-98765'];
/** More than are in use at any time: now and then one is replaced by another. */
export const instanceNames = ['bot', 'bot2', 'bot3', 'bot4', 'bot5'];
export const settleMs = 3_000;
export const timeoutMs = 1_000;
/** Of an attempt whose process has died. */
export const leaseMs = 10_000;
/** Long enough for kills and edits to come in the middle of calls. */
export const latency = { minMs: 5, maxMs: 250 };
export const limit = { max: 80, perMs: 2_000 };
export const verifyMs = 10_000;
/** Silence of a killed worker until the others unregister what only its file had. */
export const deadAfterMs = 20_000;
/** A scheduled rotation whose job was wiped off its queue is queued again after this time. */
export const releasedAgainMs = 60_000;
/** A read at first sight that met a fault is made again after this time. */
export const readAgainMs = 60_000;
/** Beyond what the times above explain. */
export const patienceMs = 15_000;
/** The period that groups have if nobody edits it, and the one in the end: nothing is due any more. */
export const period = '10s';
export const finalPeriod = '30d';

export const jids = Array.from({ length: 200 }, (_, i) => `1203634062890${String(i).padStart(5, '0')}@g.us`);
