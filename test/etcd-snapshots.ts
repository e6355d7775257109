/** Objects of the kind by which RKE2 and K3s tell of their etcd snapshots. */

/** A snapshot of that time; `status` replaces what it says of itself. */
export const etcdSnapshot = (name: string, createdAt: string, status: object = { size: '9871392', readyToUse: true }) => ({
  apiVersion: 'k3s.cattle.io/v1',
  kind: 'ETCDSnapshotFile',
  metadata: { name: `local-${name}` },
  spec: { snapshotName: name, nodeName: 'server-1', location: `file:///var/lib/rancher/rke2/server/db/snapshots/${name}` },
  status: { creationTime: createdAt, ...status },
})
