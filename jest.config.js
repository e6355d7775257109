// Jest runs the TypeScript sources as ES modules (NODE_OPTIONS=--experimental-vm-modules, set by tools/task.js).
// swc only strips types; the compiler checks them apart, in `npm run check`.
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': ['@swc/jest', { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'es6' } }] },
  // Jest leaves one core idle; of two, that is half of the time.
  maxWorkers: '100%',
  // ESM mode keeps about 2 MB a test file (jest#14605); recycle workers before that matters.
  workerIdleMemoryLimit: '400MB',
  // Of `test.concurrent`, in one file.
  maxConcurrency: 20,
  // The second: what test/regressions/complaints.yaml names has really run.
  reporters: ['default', '<rootDir>/test/regressions/reporter.js'],
  testTimeout: 20_000,
}
