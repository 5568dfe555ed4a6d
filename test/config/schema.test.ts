/** What editors show of the file's keys. `test/package/schemas.test.ts` compares it with the shipped file. */
import { expect, it } from 'vitest';
import { jsonSchemas } from '../../dev/jsonSchemas.ts';

const schema = JSON.parse(jsonSchemas['config/rotation.schema.json']);

it('describes every key of a group', () => {
  for (const [key, value] of Object.entries(schema.properties.groups.items.properties)) {
    expect(value, key).toHaveProperty('description');
  }
});

it('shows defaults as they are written', () => {
  expect(schema.properties.api.properties.timeout).toMatchObject({ default: '30s' });
  expect(schema.properties.instances.items.properties.rateLimit.properties).toMatchObject({
    max: { default: 100 },
    per: { default: '1m' },
    reserve: { default: 10 },
  });
});

it('requires one token source, and allows only one schedule', () => {
  expect(schema.properties.instances.items.oneOf).toEqual([{ required: ['tokenEnv'] }, { required: ['tokenFile'] }]);
  expect(schema.properties.groups.items.not).toEqual({ required: ['every', 'cron'] });
});
