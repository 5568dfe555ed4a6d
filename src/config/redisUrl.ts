/**
 * Addresses of Redis: `REDIS_URL`, `redis.url` in the file and the library's `connection` are all parsed here, so each of
 * them means the same everywhere. Messages continue a sentence that begins with the name of the source. They quote nothing
 * that may be secret.
 */
import { formatPlace, type Login, parseLogin, parsePlace, splitAddress } from '../address.ts';

interface Common extends Partial<Login> {
  /** Null: the address names none, so it is 0. */
  readonly db: number | null;
}

export type RedisAddress = Common &
  (
    | { readonly path: string }
    | { readonly host: string; readonly port: number; readonly tls: boolean; readonly family?: 4 | 6 }
  );

export type ParsedRedisUrl =
  | { readonly ok: true; readonly address: RedisAddress }
  | { readonly ok: false; readonly message: string };

const forms = 'redis://host:6379, rediss://user:password@host:6379/0 or unix:///path/to/socket';
const encode =
  'needs its user and password percent-encoded ("#" as %23, "/" as %2F, "@" as %40, "%" as %25), or the password in a file (redis.passwordFile)';

export function parseRedisUrl(given: string): ParsedRedisUrl {
  const text = given.trim();
  if (text === '') return no('is empty: remove it, or set it to an address such as redis://host:6379');
  if (/^(["'`]).*\1$/s.test(text)) return notAnAddress('it is in quotes; remove them');
  const [, socket = null] = /^unix:(?:\/\/)?(.*)$/is.exec(text) ?? /^(\/(?!\/).*)$/s.exec(text) ?? [];
  if (socket !== null) return parseSocket(socket);
  const { scheme, login: loginText, place } = splitAddress(text);
  if (scheme !== 'redis' && scheme !== 'rediss') return notAnAddress(schemeProblem(scheme, text));
  const login = parseLogin(loginText ?? '');
  if (login === null) return no(encode);
  if (/\s/.test(place)) return no('has white space in it');
  if (/^[^/?#]*,/.test(place)) {
    return no('names several hosts: list them under redis.sentinels or redis.cluster in the file');
  }
  const server = parsePlace(place);
  if (typeof server === 'string') return no(server);
  const parts = parseRest(server.rest, ['db', 'tls', 'family']);
  if (typeof parts === 'string') return no(parts);
  const { db, parameters } = parts;
  const tls = parameters.get('tls');
  if (tls === 'false' && scheme === 'rediss') return no('contradicts itself: rediss:// and tls=false');
  const family = parameters.get('family');
  const address: RedisAddress = {
    ...{ host: server.host, port: server.port ?? 6_379, tls: scheme === 'rediss' || tls === 'true', db },
    ...(family === '4' || family === '6' ? { family: family === '4' ? 4 : 6 } : {}),
    ...loginOf(login),
  };
  return { ok: true, address };
}

/** As text, without user and password. */
export function describeAddress(address: RedisAddress): string {
  const db = address.db === null ? '' : `/${address.db}`;
  if ('path' in address) return address.db === null ? address.path : `${address.path}, database ${address.db}`;
  return `${address.tls ? 'rediss' : 'redis'}://${formatPlace(address.host, address.port)}${db}`;
}

/** The address of a socket. `path`: absolute. */
export function socketAddress(path: string): string {
  return `unix://${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** `text`: from the user and password, or from the path if there is none. */
function parseSocket(text: string): ParsedRedisUrl {
  const at = text.startsWith('/') ? -1 : text.lastIndexOf('@');
  const login = parseLogin(text.slice(0, Math.max(at, 0)));
  if (login === null) return no(encode);
  const [, path = '', rest = ''] = /^([^?#]*)(.*)$/s.exec(text.slice(at + 1)) ?? [];
  const parts = parseRest(rest, ['db']);
  if (typeof parts === 'string') return no(parts);
  const decoded = decode(path);
  if (decoded === null || !/^\/./.test(decoded)) return notAnAddress('the path of the socket is not absolute');
  return { ok: true, address: { path: decoded, db: parts.db, ...loginOf(login) } };
}

const values: Readonly<Record<string, RegExp>> = { db: /^\d{1,9}$/, tls: /^(true|false)$/, family: /^[046]$/ };

/** The database and the parameters after host and port, or what is wrong with them. */
function parseRest(text: string, known: readonly string[]) {
  if (text.includes('#')) return 'has a "#" after the host; in a password, it must be written as %23';
  const [, path = '', query = ''] = /^\/?([^?]*)\??(.*)$/s.exec(text) ?? [];
  if (!/^\d{0,9}$/.test(path)) {
    return 'has something other than the number of a database after the host, as in redis://host:6379/0';
  }
  const parameters = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    const shown = /^\w{1,20}$/.test(name) ? ` "${name}"` : '';
    if (!known.includes(name)) return `has an unknown parameter${shown}: only ${known.join(', ')} can follow a "?"`;
    if (!values[name]?.test(value)) return `has a wrong value for the parameter "${name}"`;
    if (parameters.has(name)) return `has the parameter "${name}" twice`;
    parameters.set(name, value);
  }
  const numbers = [path, parameters.get('db') ?? ''].filter((number) => number !== '').map(Number);
  if (new Set(numbers).size > 1) return 'names two databases';
  return { db: numbers[0] ?? null, parameters };
}

function schemeProblem(scheme: string | null, text: string): string {
  if (scheme === 'http' || scheme === 'https') return 'it begins with the scheme of a web address';
  if (scheme !== null) return 'its scheme is not one of these';
  // Without an `@`, and with a port, it is no password.
  const isPlace = /^(localhost|[a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]):\d{2,5}(\/\d+)?$/i.test(text);
  return isPlace ? `it has no scheme; write redis://${text}` : 'it has no scheme';
}

function loginOf({ username, password }: Login): Partial<Login> {
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) };
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function no(message: string): ParsedRedisUrl {
  return { ok: false, message };
}

function notAnAddress(why: string): ParsedRedisUrl {
  return no(`is not an address such as ${forms}: ${why}`);
}
