/** Addresses of web servers in the file. Messages quote no more than scheme, host and port, because the rest may be secret. */

/** What is wrong with any address of a web server, or null. */
export function addressProblem(text: string, expected: string): string | null {
  const url = URL.canParse(text) && !/\s/.test(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) return expected + missingScheme(text);
  if (url.username !== '' || url.password !== '') return 'must not contain a user or password';
  return /[?#]/.test(text) ? 'must not contain a query or fragment' : null;
}

/** In its standard form, without a slash at its end. */
export const withoutSlash = (text: string) => new URL(text).href.replace(/\/+$/, '');

const loopback = /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/;
const vendor = /^(www\.)?ryzeapi\.cloud$/;

/** What is wrong with `api.baseUrl`, or null. Calls go to `<baseUrl>/api/...`. */
export function baseUrlProblem(text: string): string | null {
  const problem = addressProblem(text, 'expected an address like https://ryzeapi.cloud');
  if (problem !== null) return problem;
  const { protocol, hostname, origin, pathname } = new URL(text);
  if (protocol !== 'https:' && !loopback.test(hostname)) {
    return 'http would send the token in the clear: use https (http is for loopback hosts only)';
  }
  const before = /^(.*?)\/+api(?:\/+(?:group|instance|profile)(?:\/.*)?)?\/*$/i.exec(pathname)?.[1];
  if (before !== undefined) {
    return `must not end in "/api", which is added to each call: ${before === '' ? `write ${origin}` : 'leave it out'}`;
  }
  return vendor.test(hostname) && /[^/]/.test(pathname) ? `must not have a path: write ${origin}` : null;
}

/** Only a lower-case host is quoted: a token in its place has capital letters, or no dot and no port. */
function missingScheme(text: string): string {
  const [, host, rest] = /^((?:[a-z0-9-]+\.)+[a-z]{2,20}|localhost|127\.0\.0\.1)((?::\d{1,5})?)\/?$/.exec(text) ?? [];
  if (host === undefined) return '';
  return `: it has no scheme; write ${loopback.test(host) ? 'http' : 'https'}://${host}${rest}`;
}
