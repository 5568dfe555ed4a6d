/** What the `OTEL_*` variables of the environment ask for. Those of the SDK and the exporter are read by these. */

export interface TraceSettings {
  readonly protocol: 'http/json' | 'http/protobuf';
}

const protocols = ['http/protobuf', 'http/json'] as const;

/** Null: no traces are asked for. `problem`: they are, but cannot be sent like this. */
export function readTraceSettings(env: NodeJS.ProcessEnv): TraceSettings | { readonly problem: string } | null {
  const exporters =
    settingOf(env, 'OTEL_TRACES_EXPORTER')
      ?.split(',')
      .map((name) => name.trim()) ?? [];
  const endpoint = firstOf(env, ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT']);
  if (settingOf(env, 'OTEL_SDK_DISABLED')?.toLowerCase() === 'true' || exporters.includes('none')) return null;
  if (exporters.length === 0 && endpoint === null) return null;
  if (exporters.length > 0 && !exporters.includes('otlp')) {
    return { problem: `OTEL_TRACES_EXPORTER: "${exporters.join(',')}" is not supported: use otlp or none` };
  }
  if (endpoint !== null && !isHttpAddress(endpoint.value)) {
    return { problem: `${endpoint.name}: expected an address such as http://localhost:4318` };
  }
  const asked = firstOf(env, ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL']);
  const protocol = asked === null ? protocols[0] : protocols.find((name) => name === asked.value);
  if (protocol !== undefined) return { protocol };
  return { problem: `${asked?.name}: "${asked?.value}" is not supported: use ${protocols.join(' or ')}` };
}

/** A variable that is empty counts as not set. */
function settingOf(env: NodeJS.ProcessEnv, name: string): string | undefined {
  return env[name]?.trim() || undefined;
}

function firstOf(env: NodeJS.ProcessEnv, names: readonly string[]) {
  for (const name of names) {
    const value = settingOf(env, name);
    if (value !== undefined) return { name, value };
  }
  return null;
}

function isHttpAddress(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}
