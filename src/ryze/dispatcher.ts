/**
 * The connections to RyzeAPI, through a proxy where the environment names one. A connection carries one request at a
 * time. A proxy makes a tunnel (CONNECT) before the request is sent, so whatever fails until then had no effect.
 */
import { type Dispatcher, EnvHttpProxyAgent, Pool } from 'undici';
import { type Proxies, ProxyError } from './proxies.ts';

/** `timeoutMs`: for a connection. */
export function openDispatcher(proxies: Proxies, timeoutMs: number): Dispatcher {
  const connect = { timeout: timeoutMs };
  return new EnvHttpProxyAgent({
    ...proxies,
    pipelining: 1,
    connect,
    requestTls: connect,
    clientFactory: (url: URL) => new TunnelPool(url, timeoutMs),
  });
}

/** Connections to a proxy. */
class TunnelPool extends Pool {
  readonly #name: string;
  readonly #hasLogin: boolean;

  constructor({ protocol, hostname, port, username }: URL, timeoutMs: number) {
    const number = Number(port || (protocol === 'https:' ? 443 : 80));
    const name = `${hostname}:${number}`;
    super(`${protocol}//${name}`, { connect: { timeout: timeoutMs }, headersTimeout: timeoutMs });
    this.#name = name;
    this.#hasLogin = username !== '';
  }

  /** Called by undici for each tunnel. undici would try for ever to replace a connection that the proxy closes. */
  override async connect(options: Dispatcher.ConnectOptions): Promise<Dispatcher.ConnectData> {
    let tunnel: Dispatcher.ConnectData;
    try {
      tunnel = await super.connect(options);
    } catch (error) {
      throw new ProxyError(`cannot reach the proxy ${this.#name} (${reasonOf(error)})`);
    }
    if (tunnel.statusCode === 200) return tunnel;
    tunnel.socket.on('error', () => {}).destroy();
    throw new ProxyError(`the proxy ${this.#name} refuses the connection: ${this.#refusal(tunnel.statusCode)}`);
  }

  #refusal(status: number): string {
    if (status !== 407) return `HTTP ${status}`;
    return this.#hasLogin ? 'wrong user or password (HTTP 407)' : 'it requires a user and a password (HTTP 407)';
  }
}

const reasons: Readonly<Record<string, string>> = {
  UND_ERR_SOCKET: 'it closed the connection',
  UND_ERR_HEADERS_TIMEOUT: 'no answer in time',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
};

function reasonOf(error: unknown): string {
  const { name, code } = error as { name?: string; code?: string };
  if (name === 'HTTPParserError') return 'it does not answer in HTTP';
  return (code !== undefined && reasons[code]) || code || 'unknown error';
}
