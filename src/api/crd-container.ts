/** The parts of the Plan's schema that stem from Kubernetes' own types: selectors and containers. */
import { atomicList, atomicObject, flag, intOrText, integer, list, object, type Schema, text, textMap } from './crd-parts.ts'

const QUANTITY = '^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$'

export function labelSelector(description: string): Schema {
  return atomicObject(description, {
    matchLabels: textMap('Labels that must be there with exactly these values.'),
    matchExpressions: atomicList(
      'Terms that must all hold.',
      object(
        '',
        {
          key: text('The label that the term is about.'),
          operator: text('In, NotIn, Exists or DoesNotExist.'),
          values: atomicList('Values for In and NotIn; empty for the others.', text()),
        },
        { required: ['key', 'operator'] },
      ),
    ),
  })
}

/** A name that the API fills with the empty text where it is missing. */
const defaultedName = (description: string): Schema => text(description, { default: '' })

const sourceRef = (kind: string): Schema =>
  atomicObject(`Every key of a ${kind} becomes a variable.`, {
    name: defaultedName(`Name of the ${kind}.`),
    optional: flag(`Whether the ${kind} may be missing.`),
  })

const keyRef = (kind: string): Schema =>
  atomicObject(
    `The value of one key of a ${kind}.`,
    {
      name: defaultedName(`Name of the ${kind}.`),
      key: text('The key.'),
      optional: flag(`Whether the ${kind} or its key may be missing.`),
    },
    { required: ['key'] },
  )

const valueFrom = object('Where the value comes from, instead of `value`.', {
  configMapKeyRef: keyRef('ConfigMap'),
  secretKeyRef: keyRef('Secret'),
  fieldRef: atomicObject(
    'A field of the pod.',
    { apiVersion: text('Version of the schema that the path is written for; v1 by default.'), fieldPath: text('Path of the field.') },
    { required: ['fieldPath'] },
  ),
  fileKeyRef: atomicObject(
    'A key of a file of variables in a volume.',
    {
      key: text('The key in the file.'),
      optional: flag('Whether file or key may be missing.', { default: false }),
      path: text('Path of the file within the volume.'),
      volumeName: text('Name of the volume.'),
    },
    { required: ['key', 'path', 'volumeName'] },
  ),
  resourceFieldRef: atomicObject(
    "A resource limit or request of the pod's containers.",
    {
      containerName: text('Name of the container.'),
      divisor: intOrText('Unit of the value; 1 by default.', { pattern: QUANTITY }),
      resource: text('The resource, e.g. limits.memory.'),
    },
    { required: ['resource'] },
  ),
})

const profile = (name: string): Schema =>
  object(
    `The ${name} profile.`,
    {
      localhostProfile: text('Name of a profile on the node; only with type Localhost.'),
      type: text('RuntimeDefault, Localhost or Unconfined.'),
    },
    { required: ['type'] },
  )

const securityContext = object(
  "The container's security context. Given one, the upgrade container is not made privileged; prepare containers are never.",
  {
    allowPrivilegeEscalation: flag('Whether a process may gain more privileges than its parent.'),
    appArmorProfile: profile('AppArmor'),
    capabilities: object('Linux capabilities, beside those that the runtime grants.', {
      add: atomicList('Capabilities to add.', text()),
      drop: atomicList('Capabilities to drop.', text()),
    }),
    privileged: flag('Whether the container runs with all the rights of root on the node.'),
    procMount: text('Kind of /proc: Default or Unmasked.'),
    readOnlyRootFilesystem: flag("Whether the container's root file system is read-only."),
    runAsGroup: integer('Numeric group of the process.', 'int64'),
    runAsNonRoot: flag('Whether the kubelet refuses to start the container as root.'),
    runAsUser: integer('Numeric user of the process.', 'int64'),
    seLinuxOptions: object('SELinux label of the container.', {
      level: text('Level.'),
      role: text('Role.'),
      type: text('Type.'),
      user: text('User.'),
    }),
    seccompProfile: profile('seccomp'),
    windowsOptions: object('Settings for Windows nodes.', {
      gmsaCredentialSpec: text('Contents of the gMSA credential spec.'),
      gmsaCredentialSpecName: text('Name of the gMSA credential spec.'),
      hostProcess: flag('Whether the container runs as a process of the host.'),
      runAsUserName: text('User of the process.'),
    }),
  },
)

export function container(description: string): Schema {
  return object(
    description,
    {
      image: text('Image of the container. Without a tag or digest it gets the latest version as its tag.'),
      command: list("Replaces the image's entry point.", text()),
      args: list('Arguments of the command.', text()),
      envs: list(
        'Variables, beside those that every container gets (SYSTEM_UPGRADE_…).',
        object(
          '',
          { name: text('Name of the variable.'), value: text('Its value; `$(OTHER)` is expanded.'), valueFrom },
          { required: ['name'] },
        ),
      ),
      envFrom: list(
        'Sources of which every key becomes a variable.',
        object('', {
          configMapRef: sourceRef('ConfigMap'),
          prefix: text('Put in front of every name.'),
          secretRef: sourceRef('Secret'),
        }),
      ),
      volumes: list(
        'Directories or files of the node, mounted into the container.',
        object(
          '',
          {
            name: text('Name of the volume in the pod.'),
            source: text('Path on the node.'),
            destination: text('Path in the container.'),
          },
          { required: ['destination', 'name', 'source'] },
        ),
      ),
      securityContext,
    },
    { required: ['image'] },
  )
}
