import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Most tests wait for timers and processes; more of them at once hold each other up.
    maxWorkers: 5,
    // No test replaces a module, so files that run in one process load what they share once.
    isolate: false,
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/globalSetup.ts'],
    // Only for what hangs: what must be quick is measured in bench/.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    typecheck: { enabled: true, include: ['test/**/*.test-d.ts'] },
  },
});
