/** The kind by which RKE2 and K3s tell of their etcd snapshots, as far as it is looked at; of the whole cluster. */
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
