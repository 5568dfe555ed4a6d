/** QR codes of stable addresses. The last ones are kept, because drawing one takes longer than many redirects. */
import QRCode from 'qrcode';

export interface QrCodes {
  svg(address: string): Promise<string>;
  png(address: string): Promise<Buffer>;
}

/** A damaged or dirty print is still read, and white space around it sets it apart. */
const options = { errorCorrectionLevel: 'M', margin: 4 } as const;
const pngWidth = 600;
/** About 5 MB. */
const maxKept = 1_000;

export function createQrCodes(): QrCodes {
  return {
    svg: kept((address) => QRCode.toString(address, { ...options, type: 'svg' })),
    png: kept((address) => QRCode.toBuffer(address, { ...options, type: 'png', width: pngWidth })),
  };
}

function kept<T>(draw: (address: string) => Promise<T>): (address: string) => Promise<T> {
  const drawn = new Map<string, Promise<T>>();
  return (address) => {
    const known = drawn.get(address);
    if (known !== undefined) return known;
    const [oldest] = drawn.keys();
    if (drawn.size >= maxKept && oldest !== undefined) drawn.delete(oldest);
    const drawing = draw(address);
    drawn.set(address, drawing);
    return drawing;
  };
}
