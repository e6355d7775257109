import { describe, expect, test } from '@jest/globals'
import type { Json } from '../../../src/base/json.ts'
import { CelError, compile } from '../../../src/sandbox/server/cel.ts'

describe('a rule', () => {
  test.each<[string, Json, boolean]>([
    ['self.a < self.b', { a: 1, b: 2 }, true],
    ['self.a + 1 == self.b && !(self.a > self.b)', { a: 1, b: 2 }, true],
    ['has(self.a)', {}, false],
    ['has(self.a) && self.a.size() > 1', { a: 'xy' }, true],
    ['!has(self.spec.a) || self.spec.a in ["x", "y"]', { spec: { a: 'z' } }, false],
    ["self.a == 'x' ? self.b == 1 : self.b == 2", { a: 'y', b: 2 }, true],
    ['self.list.all(item, item.startsWith("a"))', { list: ['ab', 'ba'] }, false],
    ['self.list.exists(item, item.matches("^b"))', { list: ['ab', 'ba'] }, true],
    ['self.map.all(key, self.map[key] > 0)', { map: { a: 1, b: 2 } }, true],
    ['size(self) == 2 && self[1] != null', ['a', 'b'], true],
    ['timestamp(self.from) <= timestamp(self.to)', { from: '2026-01-01T00:00:00Z', to: '2026-01-01T01:00:00+01:00' }, true],
    ['duration(self) < duration("1h1s")', '60m', true],
    // One side decides even when the other cannot be told.
    ['self.none == 1 || true', {}, true],
    ['self.none == 1 && false', {}, false],
  ])('%s of %j is %s', (rule, self, holds) => {
    expect(compile(rule)(self, undefined)).toBe(holds)
  })

  test('knows what was before', () => {
    expect(compile('self.n >= oldSelf.n')({ n: 1 }, { n: 2 })).toBe(false)
  })

  test.each(['', 'self.', 'self = 1', 'self.a)', 'self.a.format("x")', 'has(self)', 'quantity(self)', 'self # 1'])(
    '%s is not compiled',
    (rule) => {
      expect(() => compile(rule)).toThrow(CelError)
    },
  )

  test.each<[string, Json]>([
    ['self.none == 1', {}],
    ['self', 'text'],
    ['self < 1', 'text'],
    ['timestamp(self) < timestamp(self)', 'soon'],
    ['duration(self) < duration(self)', 'long'],
  ])('%s of %j cannot be told', (rule, self) => {
    expect(() => compile(rule)(self, undefined)).toThrow(CelError)
  })
})
