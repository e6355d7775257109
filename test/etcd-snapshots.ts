/** The kind by which RKE2 and K3s tell of their etcd snapshots, as far as tests need it; of the whole cluster. */

export const snapshotDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'etcdsnapshotfiles.k3s.cattle.io' },
  spec: {
    group: 'k3s.cattle.io',
    names: { kind: 'ETCDSnapshotFile', listKind: 'ETCDSnapshotFileList', plural: 'etcdsnapshotfiles', singular: 'etcdsnapshotfile' },
    scope: 'Cluster',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                properties: {
                  snapshotName: { type: 'string' },
                  nodeName: { type: 'string' },
                  location: { type: 'string' },
                },
              },
              status: {
                type: 'object',
                properties: {
                  size: { anyOf: [{ type: 'integer' }, { type: 'string' }], 'x-kubernetes-int-or-string': true },
                  creationTime: { type: 'string', format: 'date-time' },
                  readyToUse: { type: 'boolean' },
                },
              },
            },
          },
        },
      },
    ],
  },
}

/** A snapshot of that time; `status` replaces what it says of itself. */
export const etcdSnapshot = (name: string, createdAt: string, status: object = { size: '9871392', readyToUse: true }) => ({
  apiVersion: 'k3s.cattle.io/v1',
  kind: 'ETCDSnapshotFile',
  metadata: { name: `local-${name}` },
  spec: { snapshotName: name, nodeName: 'server-1', location: `file:///var/lib/rancher/rke2/server/db/snapshots/${name}` },
  status: { creationTime: createdAt, ...status },
})
