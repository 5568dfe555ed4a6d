/**
 * One HTTP request and what came of it. Exactly one request goes onto the wire: undici's `dispatch` is used without its
 * retry and redirect handlers, and a connection carries one request at a time, so a broken connection fails its request
 * instead of passing it on to the next one.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import type { Dispatcher } from 'undici';

type Exchange =
  /** `body`: null if it was longer than allowed, broke off or cannot be decompressed. */
  | { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string | null }
  /** No answer. `left`: the request was given to a connection, so it may have arrived. */
  | { readonly status: null; readonly timedOut: boolean; readonly left: boolean; readonly error: unknown };

/** Never rejects. `timeoutMs` covers everything from waiting for a connection to the last byte. */
export function exchange(
  dispatcher: Dispatcher,
  origin: string,
  request: { method: 'GET' | 'POST'; path: string; headers: Record<string, string>; body?: string },
  timeoutMs: number,
  maxBytes: number,
): Promise<Exchange> {
  return new Promise((resolve) => {
    let controller: Dispatcher.DispatchController | null = null;
    let left = false;
    let over = false;
    let head: { status: number; headers: IncomingHttpHeaders } | null = null;
    const chunks: Buffer[] = [];
    let bytes = 0;

    const end = (result: Exchange) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      resolve(result);
    };
    const timer = setTimeout(() => {
      end(head === null ? { status: null, timedOut: true, left, error: null } : { ...head, body: null });
      controller?.abort(new Error('timed out'));
    }, timeoutMs);

    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(started) {
        controller = started;
        // It timed out while it waited for a connection, so it must no longer be sent.
        if (over) return started.abort(new Error('timed out'));
        left = true;
      },
      onResponseStart(_controller, status, headers) {
        // An interim answer, such as 103, says nothing of the call.
        if (status >= 200) head = { status, headers };
      },
      onResponseData(data, chunk) {
        bytes += chunk.length;
        if (bytes <= maxBytes) chunks.push(chunk);
        else if (head !== null) {
          end({ ...head, body: null });
          data.abort(new Error('answer too long'));
        }
      },
      onResponseEnd() {
        if (head !== null) end({ ...head, body: readBody(head.headers, Buffer.concat(chunks), maxBytes) });
      },
      onResponseError(_controller, error) {
        end(head === null ? { status: null, timedOut: false, left, error } : { ...head, body: null });
      },
    };

    try {
      dispatcher.dispatch({ origin, ...request, headersTimeout: 0, bodyTimeout: 0 }, handler);
    } catch (error) {
      end({ status: null, timedOut: false, left, error });
    }
  });
}

/** No compression is asked for, but a proxy may compress what it passes on. */
const decompress = { gzip: gunzipSync, 'x-gzip': gunzipSync, deflate: inflateSync, br: brotliDecompressSync };

/** As text, without a byte order mark. */
function readBody(headers: IncomingHttpHeaders, bytes: Buffer, maxBytes: number): string | null {
  const encoding = headers['content-encoding']?.trim().toLowerCase() ?? '';
  const decode = Object.hasOwn(decompress, encoding) ? decompress[encoding as keyof typeof decompress] : null;
  try {
    return new TextDecoder().decode(decode?.(bytes, { maxOutputLength: maxBytes }) ?? bytes);
  } catch {
    return null;
  }
}
