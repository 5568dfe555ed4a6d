/** How often links are verified: as the file says, or less often if the share of the limit allows fewer reads. Pure. */
import type { Config } from './config.ts';
import type { Demand } from './demand.ts';

export interface Verification {
  /** Groups of the token whose links are verified. */
  readonly groups: number;
  /** Reads that the groups get, and no more than they need. */
  readonly readsPerMinute: number;
  /** The period that results. */
  readonly everyMs: number;
  /** Whether it is longer than the file says. */
  readonly isStretched: boolean;
}

/** As `acquire.lua` has it: of the share that is left if rotations need the whole limit. */
const leastPart = 1 / 10;

/** For the groups of one token. Null: none is verified. */
export function verificationOf(
  { groups, tightest, asked, allowed }: Demand,
  verify: Config['verify'],
): Verification | null {
  const verified = groups.filter(({ enabled }) => enabled).length;
  if (verify === null || verified === 0) return null;
  const { max, perMs } = tightest.rateLimit;
  // In any `per` a whole number of reads, or one in a longer time.
  const reads = max * verify.share;
  const share = ((reads >= 1 ? Math.floor(reads + 1e-9) : reads) * 60_000) / perMs;
  const possible = Math.min(share, Math.max(allowed - asked, share * leastPart));
  const needed = (verified * 60_000) / verify.everyMs;
  const isStretched = needed > possible * (1 + 1e-9);
  const readsPerMinute = isStretched ? possible : needed;
  return { groups: verified, readsPerMinute, isStretched, everyMs: (verified * 60_000) / readsPerMinute };
}
