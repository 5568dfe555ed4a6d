/** Serves an HTTP server over TLS, with a certificate of a private authority. */
import { once } from 'node:events';
import { request } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { generate } from 'selfsigned';
import { onTestFinished } from 'vitest';

/** A certificate for 127.0.0.1 that signs itself. */
export async function ownCertificate() {
  return await generate([{ name: 'commonName', value: 'localhost' }], {
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
  });
}

export async function startTlsFront(url: string): Promise<{ readonly host: string; readonly certificate: string }> {
  const { private: key, cert } = await ownCertificate();
  const server = createServer({ key, cert }, (asked, response) => {
    const { method, headers } = asked;
    const passed = request(new URL(asked.url ?? '', url), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    asked.pipe(passed);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, certificate: cert };
}
