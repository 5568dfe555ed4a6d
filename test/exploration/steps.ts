/**
 * Every step that can be made from a state. The protocol is the program's own, called as `call.ts`, `rotate.ts`,
 * `registry.ts` and the planner call it; what they do around it is modelled here, in `work.ts`, `edits.ts` and `jobs.ts`:
 *
 * - looking and starting are one step: the decision is repeated when the attempt is recorded, so a look alone changes
 *   nothing;
 * - so are recording and sending a read: until the server reads, no other process can notice a difference;
 * - a live process renews its lease as time passes; a frozen or dead one does not;
 * - an answer on its way and an answer that is about to be stored are one state: no other process can tell them apart;
 * - any worker may run a job at any time, and two may run it at once; reads come only from an index.
 */
import { editsOf } from './edits.ts';
import { lossesOf, release } from './jobs.ts';
import { doNext, type Model, replace, type Step, settleMs } from './model.ts';
import { type Activity, idle, type Origin, type Process, type State, tickMs, type Wire } from './state.ts';
import { act, isOpen, maySend, send, serve, takeEffect } from './work.ts';

export function stepsFrom(state: State, model: Model): Step[] {
  const steps: Step[] = [];
  for (const [index, process] of state.processes.entries()) {
    if (process.frozen) steps.push(thaw(state, model, index), ...serve(state, model, index, process.doing));
    else steps.push(...act(state, model, index, process), ...freeze(state, model, index, process));
    if (process.doing.at !== 'idle' && state.left.deaths > 0) steps.push(die(state, model, index, process));
  }
  for (const wire of state.orphans) {
    const { state: to } = takeEffect(state, model, wire);
    const orphans = state.orphans.filter((other) => other !== wire);
    steps.push({ says: `a reset that nobody waits for takes effect: ${to.live}`, to: { ...to, orphans }, usual: true });
  }
  if (state.left.humanResets > 0) steps.push(resetByHand(state));
  steps.push(...editsOf(state, model), ...passTime(state, model));
  return [...steps.map((step) => ({ ...step, to: release(step.to, model) })), ...lossesOf(state)];
}

/** Only where it makes a difference: elsewhere it is the same as being slow, or as dying. */
function freeze(state: State, model: Model, index: number, process: Process): Step[] {
  const { doing, name } = process;
  if (state.left.freezes === 0) return [];
  const left = { ...state.left, freezes: state.left.freezes - 1 };
  const frozen = (next: Activity) => replace({ ...state, left }, index, { ...process, frozen: true, doing: next });
  if (doing.at === 'resetting' || (doing.at === 'reading' && doing.seen !== null)) {
    return [{ says: `${name} freezes`, to: frozen(doing), usual: false }];
  }
  if (doing.at !== 'begun' || !maySend(state, model, doing.attempt)) return [];
  const checked = frozen({ ...doing, at: 'checked' });
  return [{ says: `${name} checks its lease, and freezes before it sends`, to: checked, usual: false }];
}

function thaw(state: State, model: Model, index: number): Step {
  const process = state.processes[index] as Process;
  const { doing, name } = process;
  if (doing.at !== 'checked') return { says: `${name} thaws`, to: doNext(state, index, doing), usual: true };
  const sent = send(doNext(state, index, doing), model, index, doing);
  return { ...sent, says: `${name} thaws: ${sent.says}` };
}

/** Its requests and its job stay where they are. The process that replaces it starts with nothing. */
function die(state: State, { times }: Model, index: number, { doing, name }: Process): Step {
  const left = { ...state.left, deaths: state.left.deaths - 1 };
  let to = doNext({ ...state, left }, index, idle);
  if (doing.at === 'resetting') {
    const wire: Wire = { ...doing.wire, lost: 'died' };
    if (isOpen(wire, state.nowMs, times)) to = { ...to, orphans: [...to.orphans, wire] };
    if (wire.code === state.live) to = { ...to, origin: { ...to.origin, lost: 'died' } };
  }
  return { says: `${name} dies`, to, usual: false };
}

function resetByHand(state: State): Step {
  const { left, counter } = state;
  const live = `c${counter}`;
  const origin: Origin = { by: 'human', inTurn: true, late: false, lost: null, cameBack: false };
  const humanResets = left.humanResets - 1;
  const to = { ...state, live, origin, left: { ...left, humanResets }, counter: counter + 1 };
  return { says: `a person resets the link: ${live}`, to, usual: false };
}

/** Time passes unless a live process has something to do at once. Live processes renew their leases. */
function passTime(state: State, model: Model): Step[] {
  const { times, protocol } = model;
  const nowMs = state.nowMs + tickMs;
  let { record } = state;
  for (const { frozen, doing } of state.processes) {
    if (frozen || doing.at === 'idle') continue;
    if (doing.at === 'failed' || doing.at === 'checked') return [];
    if (doing.at === 'begun') {
      if (!maySend(state, model, doing.attempt)) return [];
      continue;
    }
    const sentAt = doing.at === 'reading' ? doing.sentAt : doing.wire.sentAt;
    if (nowMs > sentAt + times.timeout * tickMs) return [];
    const renewed = { kind: 'renewed', id: doing.attempt.id, leaseUntil: nowMs + times.lease * tickMs } as const;
    record = protocol.transition(record, renewed, nowMs, settleMs(model)).record;
  }
  const orphans = state.orphans.filter((wire) => isOpen(wire, nowMs, times));
  return [{ says: 'a tick passes', to: { ...state, nowMs, record, orphans }, usual: true }];
}
