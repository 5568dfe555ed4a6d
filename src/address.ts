/**
 * Addresses with a user and a password, such as `redis://user:password@host:6379/0`. They are parsed by hand, because a
 * password with a raw `/` or `#` would make the standard parser take a part of it for the host.
 *
 * Everything before the last `@` may be secret. No message of a caller may quote it.
 */
import { isIPv6 } from 'node:net';

export interface Address {
  /** In lower case, without `://`; null if there is none. */
  readonly scheme: string | null;
  /** Between the scheme and the last `@`; null if there is no `@`. */
  readonly login: string | null;
  /** After the last `@`: host, port and the rest. Never secret. */
  readonly place: string;
}

export function splitAddress(text: string): Address {
  const [, scheme = null] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text) ?? [];
  const rest = scheme === null ? text : text.slice(scheme.length + 3);
  const at = rest.lastIndexOf('@');
  return {
    scheme: scheme?.toLowerCase() ?? null,
    login: at === -1 ? null : rest.slice(0, at),
    place: rest.slice(at + 1),
  };
}

export interface Place {
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  readonly port: number | null;
  /** From the first `/`, `?` or `#`, or empty. */
  readonly rest: string;
}

/** Returns what is wrong with it as text. */
export function parsePlace(text: string): Place | string {
  const end = text.search(/[/?#]/);
  const [hostAndPort, rest] = end === -1 ? [text, ''] : [text.slice(0, end), text.slice(end)];
  const [, bracketed, plain = '', portText] = /^(?:\[(.*)\]|([^:[\]]*))(?::(.*))?$/.exec(hostAndPort) ?? [];
  const host = bracketed ?? plain;
  if (bracketed !== undefined && !isIPv6(bracketed)) return 'has brackets around what is not an IPv6 address';
  // Its first call takes 5 ms: Node.js compiles a large pattern.
  const mayBeIPv6 = bracketed === undefined && /:.*:/.test(hostAndPort);
  if (mayBeIPv6 && isIPv6(hostAndPort)) return 'has an IPv6 address without brackets: write [::1]:port';
  if (host === '') return hostAndPort === '' || hostAndPort.startsWith(':') ? 'has no host' : 'has an invalid host';
  if (bracketed === undefined && !/^[A-Za-z0-9._-]{1,253}$/.test(host)) return 'has an invalid host';
  if (portText === undefined || portText === '') return { host, port: null, rest };
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0;
  return port >= 1 && port <= 65_535 ? { host, port, rest } : 'has a port that is not a number from 1 to 65535';
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** Null if it has characters that must be percent-encoded. */
export function parseLogin(text: string): Login | null {
  if (/[\s/?#@[\]\\]|%(?![0-9a-f]{2})/i.test(text)) return null;
  const [, username = '', password = ''] = /^([^:]*):?(.*)$/s.exec(text) ?? [];
  try {
    return { username: decodeURIComponent(username), password: decodeURIComponent(password) };
  } catch {
    return null;
  }
}

/** Host and port as they are written in an address. */
export function formatPlace(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
