/**
 * docs/operations.md lists exactly the metrics, log events and alerts that exist. The files that it shows are valid for
 * the programs that read them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { parseConfig } from '../../src/config/load.ts';
import { createJoinMetrics } from '../../src/join/metrics.ts';
import { createMetrics } from '../../src/ops/metrics.ts';
import { healthy, well } from '../ops/samples.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(`${root}docs/operations.md`, 'utf8');

/** The text in backquotes in the first column of the tables of a section. */
function namesIn(section: string): string[] {
  const text = page.split(/^## /m).find((part) => part.startsWith(`${section}\n`)) ?? '';
  const cells = [...text.matchAll(/^\| (.*?) +\|/gm)].map(([, cell = '']) => cell);
  return cells.flatMap((cell) => [...cell.matchAll(/`([a-z_.]*[a-z])`/g)].map(([, name = '']) => name));
}

it('lists every metric', async () => {
  const text = await createMetrics('1.2.3').render(healthy, well, ['bot']);
  const shown = [...text.matchAll(/^# TYPE invite_rotator_(\w+)/gm)].map(([, name = '']) => name);
  const own = shown.filter((name) => !/^(process|nodejs)_/.test(name));
  expect(own.length).toBeLessThan(shown.length);
  expect(namesIn('Metrics').sort()).toEqual(own.sort());
});

it('lists every metric of the stable addresses', async () => {
  const text = await createJoinMetrics({ state: () => ({ awaySince: null, known: 0 }) }).render();
  const shown = [...text.matchAll(/^# TYPE invite_rotator_join_(\w+)/gm)].map(([, name = '']) => name);
  expect(namesIn('Stable addresses for people').filter((name) => name !== 'invite_rotator_join_')).toEqual(shown);
});

it('lists every event of the log', () => {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  const sources = files
    .filter((path) => path.endsWith('.ts'))
    .map((path) => readFileSync(join(root, 'src', path), 'utf8'));
  const named = /event: '(.*?)'|\breporter\(log, '(.*?)'/g;
  const logged = sources.flatMap((source) =>
    [...source.matchAll(named)].map(([, event, again]) => event ?? again ?? ''),
  );
  // One line of the source writes two: each with the status of a rotation.
  const ends = ['rotated', 'satisfied'].map((status) => `rotation.${status}`);
  expect(namesIn('Log lines').sort()).toEqual([...new Set([...logged, ...ends])].sort());
});

const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, text = '']) => text);

it('says what to do about each alert', () => {
  const { groups } = parse(readFileSync(`${root}config/alerts.yaml`, 'utf8')) as {
    groups: { rules: { alert: string; labels: { severity: string } }[] }[];
  };
  const rules = groups.flatMap((group) => group.rules).map(({ alert, labels }) => [alert, labels.severity]);
  const rows = [...page.matchAll(/^\| `(InviteRotator\w+)` +\| (\w+) +\|/gm)].map(([, ...row]) => row);
  expect(rows).toEqual(rules);
});

/** What stops a worker waits for longer than the worker itself does. */
const patienceSeconds = (() => {
  const parsed = parseConfig(readFileSync(`${root}config/rotation.example.yaml`, 'utf8'), 'rotation.yaml');
  if (!parsed.ok) throw new Error('config/rotation.example.yaml is broken');
  return parsed.config.shutdownTimeoutMs / 1000;
})();

describe('the units of systemd', () => {
  const [worker = '', join = ''] = blocks('ini');
  const settings = (unit: string, name: string) =>
    [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value);
  const shell = blocks('sh').find((block) => block.includes('/usr/local/bin')) ?? '';
  const program = '/usr/bin/node /opt/invite-rotator/dist/cli.js';

  it.each([
    ['worker', worker],
    ['server of stable addresses', join],
  ])('let a hardened %s query the addresses of its machine', (_, unit) => {
    expect(settings(unit, 'RestrictAddressFamilies')[0]?.split(' ')).toContain('AF_NETLINK');
  });

  it('run the program that the script in /usr/local/bin runs, with the same settings', () => {
    expect([worker, join].map((unit) => settings(unit, 'ExecStart'))).toEqual([
      [`${program} start`],
      [`${program} join`],
    ]);
    expect(shell).toContain(`exec ${program} "$@"`);
    const [file = ''] = settings(worker, 'EnvironmentFile');
    expect(settings(join, 'EnvironmentFile')).toEqual([file]);
    expect(shell).toContain(`\n. ${file}\n`);
    expect(shell).toContain(`/dev/stdin ${file} <<'END'\nREDIS_URL=`);
  });

  it('give the token to the worker alone', () => {
    const [, path = ''] = settings(worker, 'LoadCredential')[0]?.split(':') ?? [];
    expect(shell).toContain(`/dev/stdin ${path}\n`);
    expect(shell).toContain(`RYZE_TOKEN_FILE=${path}\n`);
    expect(join).not.toMatch(/token|LoadCredential/i);
  });

  it('are equally hardened', () => {
    const hardening = (unit: string) => /^DynamicUser=.*?(?=\n\n)/ms.exec(unit)?.[0].replace(/^#.*\n/gm, '');
    expect(hardening(worker)).toMatch(/ProtectSystem=strict/);
    expect(hardening(join)).toBe(hardening(worker));
  });
});

it('gives the worker time to stop, in each of the three ways', () => {
  const [unit = ''] = blocks('ini');
  expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(patienceSeconds);
  const compose = parse(readFileSync(`${root}docker-compose.yml`, 'utf8')) as {
    services: { worker: { stop_grace_period: string } };
  };
  expect(Number.parseInt(compose.services.worker.stop_grace_period, 10)).toBeGreaterThan(patienceSeconds);
  expect(kubernetes().Deployment.spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThan(patienceSeconds);
});

interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly secretKeyRef: { readonly name: string; readonly key: string } };
}

interface Manifests {
  Secret: { metadata: { name: string }; stringData: Record<string, string> };
  ConfigMap: { metadata: { name: string }; data: Record<string, string> };
  Deployment: {
    spec: {
      replicas: number;
      selector: { matchLabels: Record<string, string> };
      template: {
        metadata: { labels: Record<string, string> };
        spec: {
          terminationGracePeriodSeconds: number;
          containers: {
            env: Variable[];
            ports: { name: string; containerPort: number }[];
            livenessProbe: { httpGet: { path: string; port: string } };
            readinessProbe: { httpGet: { path: string; port: string } };
            volumeMounts: { name: string; mountPath: string }[];
          }[];
          volumes: {
            name: string;
            configMap?: { name: string };
            secret?: { secretName: string; items: { key: string; path: string }[] };
          }[];
        };
      };
    };
  };
}

function kubernetes(): Manifests {
  const text = blocks('yaml').find((block) => block.includes('kind: Deployment')) ?? '';
  const documents = parseAllDocuments(text);
  expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
  const all = documents.map((document) => document.toJS() as { kind: string });
  return Object.fromEntries(all.map((one) => [one.kind, one])) as unknown as Manifests;
}

it('gives the service of stable addresses no token, and its port to this machine only', () => {
  const { services } = parse(readFileSync(`${root}docker-compose.yml`, 'utf8')) as {
    services: Record<string, { secrets?: unknown; environment: object; ports: string[]; command: string[] }>;
  };
  const { secrets, environment, ports, command } = services.join!;
  expect([secrets, Object.keys(environment)]).toEqual([undefined, ['REDIS_URL', 'LOG_LEVEL']]);
  expect([command, ports]).toEqual([['join'], ['127.0.0.1:9401:9401']]);
});

it('describes a Deployment whose parts find each other, with a file that the program accepts', () => {
  const { Secret, ConfigMap, Deployment } = kubernetes();
  const { replicas, selector, template } = Deployment.spec;
  expect(replicas).toBe(2);
  expect(template.metadata.labels).toEqual(selector.matchLabels);
  const [container] = template.spec.containers;
  const { env, ports, livenessProbe, readinessProbe, volumeMounts } = container!;
  const mounted = new Set<string>();
  for (const { name, configMap, secret } of template.spec.volumes) {
    const at = volumeMounts.find((mount) => mount.name === name)!.mountPath;
    if (configMap !== undefined) {
      expect(configMap.name).toBe(ConfigMap.metadata.name);
      for (const file of Object.keys(ConfigMap.data)) mounted.add(`${at}/${file}`);
    }
    for (const { key, path } of secret?.items ?? []) {
      expect(secret!.secretName).toBe(Secret.metadata.name);
      expect(Object.keys(Secret.stringData)).toContain(key);
      mounted.add(`${at}/${path}`);
    }
  }
  const given = (name: string) => env.find((one) => one.name === name)?.value;
  expect(mounted).toContain(given('ROTATOR_CONFIG'));
  expect(mounted).toContain(given('RYZE_TOKEN_FILE'));
  for (const { valueFrom } of env) {
    if (valueFrom !== undefined) expect(Object.keys(Secret.stringData)).toContain(valueFrom.secretKeyRef.key);
  }
  expect([livenessProbe.httpGet, readinessProbe.httpGet]).toEqual([
    { path: '/healthz', port: ports[0]!.name },
    { path: '/readyz', port: ports[0]!.name },
  ]);

  const parsed = parseConfig(ConfigMap.data['rotation.yaml']!, 'rotation.yaml');
  expect(parsed).toMatchObject({ ok: true, config: { ops: { host: '0.0.0.0', port: ports[0]!.containerPort } } });
  expect(parsed.ok && parsed.config.instances[0]?.token).toMatchObject({ from: 'env', variable: 'RYZE_TOKEN' });
});

it('describes a Deployment of the stable addresses that has no token', () => {
  const [, text = ''] = blocks('yaml').filter((block) => block.includes('kind: Deployment'));
  const [service, deployment] = parseAllDocuments(text).map((document) => document.toJS());
  const { Secret, ConfigMap } = kubernetes();
  const { selector, template } = deployment.spec;
  const [container] = template.spec.containers;
  expect(template.metadata.labels).toEqual(selector.matchLabels);
  expect(service.spec.selector).toEqual(selector.matchLabels);
  expect(service.spec.ports[0].targetPort).toBe(container.ports[0].name);
  expect(container.args).toEqual(['join']);
  for (const probe of [container.livenessProbe, container.readinessProbe]) {
    expect(probe.httpGet).toEqual({ path: '/healthz', port: container.ports[0].name });
  }
  const [volume, ...others] = template.spec.volumes;
  expect(others).toEqual([]);
  expect(volume.configMap.name).toBe(ConfigMap.metadata.name);
  const { mountPath } = container.volumeMounts.find((mount: { name: string }) => mount.name === volume.name);
  const variables = container.env.map(({ name, value, valueFrom }: Variable) => [
    name,
    value ?? valueFrom?.secretKeyRef,
  ]);
  expect(Object.fromEntries(variables)).toEqual({
    REDIS_URL: { name: Secret.metadata.name, key: 'redis-url' },
    ROTATOR_CONFIG: `${mountPath}/rotation.yaml`,
  });

  // What the page says that the file then needs.
  const join = /^`(join: .*)`\.$/m.exec(page)?.[1] ?? '';
  const parsed = parseConfig(`${ConfigMap.data['rotation.yaml']}\n${join}`, 'rotation.yaml');
  expect(parsed).toMatchObject({
    ok: true,
    config: { join: { host: '0.0.0.0', port: container.ports[0].containerPort } },
  });
});

it('shows only valid YAML', () => {
  for (const block of blocks('yaml')) {
    expect(
      parseAllDocuments(block).flatMap(({ errors }) => errors),
      block,
    ).toEqual([]);
  }
  const scrapes = blocks('yaml').filter((block) => block.includes('scrape_configs'));
  expect(scrapes).toHaveLength(2);
  for (const scrape of scrapes) {
    expect(parse(scrape)).toMatchObject({ scrape_configs: [{ job_name: 'invite-rotator' }] });
  }
  const own = blocks('yaml').filter((block) => block.startsWith('redis:'));
  expect(own).toHaveLength(2);
  for (const section of own) {
    const file = `${section}\ninstances: [{ name: bot, tokenEnv: TOKEN }]\ngroups: [{ id: vip, identifier: ABC123XYZ, every: 1h }]`;
    expect(parseConfig(file, 'rotation.yaml').ok, section).toBe(true);
  }
});
