/** The one thing taken from the official client. A file of its own, loaded when needed, so that the bundle leaves the rest of it out (24 MB of RSS). */
export { KubeConfig } from '@kubernetes/client-node'
