import type { JsonObject } from '../../base/json.ts'
import { arrayOf, at, isObject, objectOf, stringOf } from './json.ts'
import { builtIn } from './resources.ts'
import type { ApiObject, Column, Resource } from './types.ts'
import { qualified } from './types.ts'

/** What is served at the moment: built-in resources and those of CustomResourceDefinitions. */
export interface Registry {
  readonly all: readonly Resource[]
  find(group: string, version: string, plural: string): Resource | undefined
  /** By `jobs.batch`, or by the plural alone when only one group has it. */
  byName(name: string): Resource | undefined
  define(crd: ApiObject): void
  undefine(crd: ApiObject): void
}

export function createRegistry(): Registry {
  const byPath = new Map<string, Resource>(builtIn.map((resource) => [pathOf(resource), resource]))
  let all: readonly Resource[] = [...byPath.values()]

  function undefine(crd: ApiObject): void {
    const { group, plural } = namesOf(crd)
    for (const [path, resource] of byPath) if (resource.group === group && resource.plural === plural) byPath.delete(path)
    all = [...byPath.values()]
  }

  return {
    get all() {
      return all
    },
    find: (group, version, plural) => byPath.get(`${group}/${version}/${plural}`),
    byName: (name) => all.find((resource) => qualified(resource) === name) ?? only(all.filter((resource) => resource.plural === name)),
    define(crd) {
      undefine(crd)
      for (const resource of resourcesOf(crd)) byPath.set(pathOf(resource), resource)
      all = [...byPath.values()]
    },
    undefine,
  }
}

function only(found: readonly Resource[]): Resource | undefined {
  return new Set(found.map((resource) => resource.group)).size === 1 ? found[0] : undefined
}

function pathOf(resource: Resource): string {
  return `${resource.group}/${resource.version}/${resource.plural}`
}

function namesOf(crd: ApiObject): { group: string; plural: string } {
  return { group: stringOf(at(crd, 'spec', 'group')) ?? '', plural: stringOf(at(crd, 'spec', 'names', 'plural')) ?? '' }
}

function resourcesOf(crd: ApiObject): readonly Resource[] {
  const names = objectOf(at(crd, 'spec', 'names'))
  const kind = stringOf(names['kind']) ?? ''
  const versions = arrayOf(at(crd, 'spec', 'versions')).filter(isObject)
  const storageVersion = stringOf(versions.find((version) => version['storage'] === true)?.['name']) ?? ''
  return versions
    .filter((version) => version['served'] === true)
    .map((version) => ({
      ...namesOf(crd),
      version: stringOf(version['name']) ?? '',
      singular: stringOf(names['singular']) ?? kind.toLowerCase(),
      kind,
      shortNames: arrayOf(names['shortNames']).map(String),
      categories: arrayOf(names['categories']).map(String),
      namespaced: at(crd, 'spec', 'scope') === 'Namespaced',
      subresources: isObject(at(version, 'subresources', 'status')) ? ['status'] : [],
      generation: true,
      custom: { schema: at(version, 'schema', 'openAPIV3Schema') as JsonObject | undefined, columns: columnsOf(version), storageVersion },
    }))
}

function columnsOf(version: JsonObject): readonly Column[] {
  const declared = arrayOf(version['additionalPrinterColumns']).filter(isObject) as readonly unknown[] as readonly Column[]
  return declared.length > 0 ? declared : [{ name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }]
}
