/** What editors get to show of the file's keys. That the shipped JSON Schema is this one, `examples.test.ts` sees to. */
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

it('wants one source of the token, and not two schedules', () => {
  expect(schema.properties.instances.items.oneOf).toEqual([{ required: ['tokenEnv'] }, { required: ['tokenFile'] }]);
  expect(schema.properties.groups.items.not).toEqual({ required: ['every', 'cron'] });
});
