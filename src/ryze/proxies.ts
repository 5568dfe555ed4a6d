/**
 * The proxies that the environment names: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or the same in lower case, which takes
 * precedence. Messages contain neither user nor password.
 */
import { formatPlace, parseLogin, parsePlace, splitAddress } from '../address.ts';
import { registerSecret } from '../log.ts';

export interface Proxies {
  /** For https addresses, as a URL; empty: the one for http. */
  readonly httpsProxy: string;
  /** For http addresses, as a URL; empty: none. */
  readonly httpProxy: string;
  /** Hosts that are reached directly. */
  readonly noProxy: string;
}

/** A proxy made no tunnel, so no request was sent. The message names the proxy by host and port only. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
}

/** A variable does not hold the address of a proxy. The message is fit to be shown to a user. */
export class ProxySettingsError extends Error {
  override readonly name = 'ProxySettingsError';
}

/** Throws a `ProxySettingsError`. */
export function readProxies(env: NodeJS.ProcessEnv): Proxies {
  const [httpsProxy, httpProxy] = [readProxy(env, 'HTTPS_PROXY'), readProxy(env, 'HTTP_PROXY')];
  return { httpsProxy, httpProxy, noProxy: env.no_proxy ?? env.NO_PROXY ?? '' };
}

const example = 'expected an address like http://proxy.example:3128';

function readProxy(env: NodeJS.ProcessEnv, name: string): string {
  const variable = env[name.toLowerCase()] === undefined ? name : name.toLowerCase();
  const text = (env[variable] ?? '').trim();
  if (text === '') return '';
  const no = (why: string): never => {
    throw new ProxySettingsError(`${variable} ${why}: ${example}`);
  };
  const { scheme, login, place } = splitAddress(text);
  // As curl does, an address without a scheme is taken for an HTTP proxy.
  const protocol = scheme ?? 'http';
  if (protocol !== 'http' && protocol !== 'https') return no('is not the address of an HTTP proxy');
  const user = parseLogin(login ?? '');
  if (user === null) return no('has a character in its user or password that must be percent-encoded');
  const parsed = parsePlace(place);
  if (typeof parsed === 'string') return no(parsed);
  if (!/^\/?$/.test(parsed.rest)) {
    return no('has something after host and port, or a character in its password that must be percent-encoded');
  }
  if (user.password !== '') registerSecret(user.password);
  const { host, port } = parsed;
  const signedIn = login === null ? '' : `${encodeURIComponent(user.username)}:${encodeURIComponent(user.password)}@`;
  return `${protocol}://${signedIn}${formatPlace(host, port ?? (protocol === 'https' ? 443 : 80))}`;
}
