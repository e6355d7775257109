/** The schema of a RolloutPolicy's gates and hooks. Lists are bounded, so that the API server can tell what their rules cost. */
import { labelSelector } from './crd-container.ts'
import { duration, flag, group, intOrText, list, NAME, object, type Schema, text } from './crd-parts.ts'
import { COMPARISONS, OPERATORS } from './gate.ts'

const short = (description: string): Schema => text(description, { maxLength: 253 })
const named = (description: string): Schema => text(description, { pattern: NAME, maxLength: 63 })

const secretKey = (description: string): Schema =>
  object(description, { name: short('Name of the Secret.'), key: short('Key in it.') }, { required: ['key', 'name'] })

const expectation = object(
  '',
  {
    condition: object(
      'A condition of the object: that of its status with this type has this status, and speaks of its present generation.',
      { type: short('Its type, such as Ready.'), status: short('Its status. True by default.') },
      { required: ['type'] },
    ),
    path: text('A field, such as .status.phase. No filters; [*] stands for all elements of a list, which all must be as expected.', {
      maxLength: 512,
    }),
    operator: text(
      'How the field compares: eq and ne as texts; gt, ge, lt and le as numbers or quantities; in and notIn with values; exists and absent by themselves.',
      { enum: OPERATORS },
    ),
    value: intOrText('What eq, ne, gt, ge, lt and le compare with.'),
    values: list('What in and notIn compare with.', intOrText(''), { minItems: 1, maxItems: 50, 'x-kubernetes-list-type': 'atomic' }),
  },
  {
    'x-kubernetes-validations': [
      { rule: 'has(self.condition) != has(self.path)', message: 'needs either a condition or a path' },
      { rule: 'has(self.path) == has(self.operator)', message: 'a path needs an operator, and a condition has none' },
      {
        rule: "has(self.values) == (has(self.operator) && self.operator in ['in', 'notIn'])",
        message: 'values go with operators in and notIn, which need them',
      },
      {
        rule: "has(self.value) == (has(self.operator) && self.operator in ['eq', 'ne', 'gt', 'ge', 'lt', 'le'])",
        message: 'value goes with operators that compare, which need it',
      },
    ],
  },
)

const objectCheck = object(
  'Objects of any kind are as expected: the one named, or all that the selector matches, which must be one at least.',
  {
    apiVersion: short('Group and version, such as apps/v1.'),
    kind: short('Kind, such as Deployment. Secrets are refused.'),
    namespace: short('Its namespace. Missing: it has none, or the selector means all.'),
    name: short('Its name.'),
    selector: labelSelector('Objects by label.'),
    expect: list('What all must hold of each object.', expectation, { minItems: 1, maxItems: 20, 'x-kubernetes-list-type': 'atomic' }),
  },
  {
    required: ['apiVersion', 'expect', 'kind'],
    'x-kubernetes-validations': [
      { rule: 'has(self.name) != has(self.selector)', message: 'needs either a name or a selector' },
      { rule: "self.apiVersion != 'v1' || self.kind != 'Secret'", message: 'cannot be of kind Secret' },
    ],
  },
)

const prometheusCheck = object(
  "The answer to a query is as expected, by Prometheus' HTTP API. Each sample of an instant vector counts, or the scalar.",
  {
    url: text('Where its API begins, without /api/v1/query, such as https://prometheus.monitoring:9090.', {
      pattern: '^https?://',
      maxLength: 2048,
    }),
    query: text('The query.', { minLength: 1, maxLength: 4096 }),
    expect: object(
      'How each sample compares.',
      {
        operator: text('The comparison.', { enum: COMPARISONS }),
        value: { type: 'number', description: 'What it is compared with.' },
      },
      { required: ['operator', 'value'] },
    ),
    emptyIs: text('What an answer without samples means: Hold (the default), or Pass.', { enum: ['Pass', 'Hold'] }),
    caBundle: text('Certificates in PEM, believed beside those of the controller.', { maxLength: 65_536 }),
    caSecretRef: secretKey("The same from a Secret of the policy's namespace."),
    tokenSecretRef: secretKey("A bearer token from a Secret of the policy's namespace."),
  },
  {
    required: ['expect', 'query', 'url'],
    'x-kubernetes-validations': [
      { rule: '!(has(self.caBundle) && has(self.caSecretRef))', message: 'takes its authority from caBundle or from caSecretRef' },
    ],
  },
)

const podsAbsentCheck = object(
  'No pod that the selector matches is there, but those that have ended.',
  {
    namespace: short('Where. Missing: in all namespaces.'),
    selector: labelSelector('The pods by label.'),
    onNode: flag('Only those on the node in question. Off by default.'),
  },
  { required: ['selector'] },
)

export const gates = list(
  'What has to be so outside of Drover. A gate that cannot be evaluated holds.',
  object(
    '',
    {
      name: named('Name of the gate, by which holds name it.'),
      at: list(
        'Where it stands. PlanStart: before the first node of a hash. NodeStart: before each node. NodeEnd: before a proven node is uncordoned and done. WaveEnd: before the next wave begins.',
        text('', { enum: ['PlanStart', 'NodeStart', 'NodeEnd', 'WaveEnd'] }),
        { minItems: 1, maxItems: 4, 'x-kubernetes-list-type': 'atomic' },
      ),
      object: objectCheck,
      prometheus: prometheusCheck,
      podsAbsent: podsAbsentCheck,
      stableFor: duration('How long it must have been met without a break. 0 by default.'),
      timeout: duration('How long it may hold, from when it first does. Missing: for ever.'),
      onTimeout: text(
        'Pause (the default): it goes on holding, as something that a person should see to. Fail: at NodeEnd the node fails, elsewhere the Plan stops until drover.io/retry. Continue: it is passed over.',
        { enum: ['Pause', 'Fail', 'Continue'] },
      ),
    },
    {
      required: ['at', 'name'],
      'x-kubernetes-validations': [
        {
          rule: '(has(self.object) ? 1 : 0) + (has(self.prometheus) ? 1 : 0) + (has(self.podsAbsent) ? 1 : 0) == 1',
          message: 'needs exactly one of object, prometheus and podsAbsent',
        },
        {
          rule: "!has(self.podsAbsent) || !has(self.podsAbsent.onNode) || !self.podsAbsent.onNode || self.at.all(where, where in ['NodeStart', 'NodeEnd'])",
          message: 'podsAbsent.onNode needs a node: only NodeStart and NodeEnd have one',
        },
      ],
    },
  ),
  { maxItems: 20, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] },
)

const hookList = (description: string): Schema =>
  list(
    description,
    object(
      '',
      {
        name: named('Name of the hook.'),
        ackAnnotation: text('The annotation of the node that is to get the value of drover.io/hook-request.', { maxLength: 317 }),
        timeout: duration('From then on a person is asked for. Missing: never.'),
      },
      { required: ['ackAnnotation', 'name'] },
    ),
    { maxItems: 10, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] },
  )

export const hooks = group('Others who have a word in it, by annotations of the node.', {
  before: hookList('Before a claimed node is prepared or cordoned.'),
  after: hookList('Before a proven node is uncordoned and done.'),
})
