import type { Tree } from '../../kube/client/collect.ts'
import type { World } from './contract.ts'

export const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

export interface Things {
  /** Where the things of the test's namespace are. */
  readonly path: string
  /** Where their definition is. */
  readonly definition: string
  readonly group: string
  /** A thing with this spec. */
  readonly thing: (spec: object, name?: string) => object
}

/** A definition in a group of this test alone. `version` is merged into its one version. */
export function definitionOf(world: World, schema: object, version: object = {}): Tree {
  const group = `${world.namespace}.example.com`
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `things.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind: 'Thing', plural: 'things', singular: 'thing', shortNames: ['th'] },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { spec: { type: 'object', ...schema }, status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
            },
          },
          ...version,
        },
      ],
    },
  }
}

/** Defines a custom resource whose spec has this schema, and waits until it is served.. */
export async function defineThings(world: World, schema: object = {}, version: object = {}): Promise<Things> {
  const { api, until, namespace } = world
  const definition = definitionOf(world, schema, version)
  const path = `/apis/${definition.spec.group}/v1/namespaces/${namespace}/things`
  await api.ok(api.post(DEFINITIONS, definition))
  await until('the things are served', async () => (await api.get(path)).status === 200)
  const { group } = definition.spec
  const thing = (spec: object, name = 'a'): object => ({ apiVersion: `${group}/v1`, kind: 'Thing', metadata: { name }, spec })
  return { path, definition: `${DEFINITIONS}/${definition.metadata.name}`, group, thing }
}
