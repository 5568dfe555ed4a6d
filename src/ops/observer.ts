/** What the worker tells those who watch it run. Cheap enough to be called for every call; tells no link or token. */
export interface Observer {
  /** A call to RyzeAPI ended; `status`: the HTTP status, or why there was none. */
  call(instance: string, endpoint: 'resetLink' | 'info', status: string, seconds: number): void;
  /** A job took a rotation to an end: `rotated`, `recovered`, `satisfied`, `failed`. */
  rotation(instance: string, outcome: string): void;
  /** A link was found changed by somebody else. */
  drift(instance: string): void;
  /** A link could not be verified: the read failed, or showed no link. */
  unverified(instance: string): void;
  /** The configuration file was read again: `applied` or `broken`. */
  reload(outcome: 'applied' | 'broken'): void;
}

export const nobody: Observer = { call() {}, rotation() {}, drift() {}, unverified() {}, reload() {} };
