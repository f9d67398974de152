// Lint rules, above all those that keep the parts apart: lib and charts know nobody, features never meet.
import hooks from 'eslint-plugin-react-hooks'
import tseslint from 'typescript-eslint'

const features = ['home', 'train', 'runs', 'run', 'compare', 'sweep', 'system', 'login']

/** Files in `folder` may not import what matches one of `patterns`. */
const keepApart = (folder, patterns, message) => ({
  files: [`src/${folder}/**/*.{ts,tsx}`],
  ignores: ['**/*.test.{ts,tsx}'],
  rules: { 'no-restricted-imports': ['error', { patterns: [{ group: patterns, message }] }] },
})

const above = {
  lib: ['@/api/**', '@/live/**', '@/charts/**', '@/components/**', '@/features/**', '@/app/**', '@/testing/**'],
  api: ['@/live/**', '@/charts/**', '@/components/**', '@/features/**', '@/app/**', '@/testing/**'],
  charts: ['@/api/client', '@/api/queries', '@/live/**', '@/features/**', '@/app/**', '@/testing/**'],
  live: ['@/charts/**', '@/components/**', '@/features/**', '@/app/**', '@/testing/**'],
  components: ['@/live/**', '@/charts/**', '@/features/**', '@/app/**', '@/testing/**'],
}

export default tseslint.config(
  { ignores: ['dist', 'dist-mock', 'node_modules', 'src/api/schema.d.ts'] },
  ...tseslint.configs.strict,
  hooks.configs.flat.recommended,
  {
    rules: {
      'max-lines': ['error', { max: 500 }],
      'no-console': 'error',
      eqeqeq: ['error', 'always'],
      // TanStack's table and virtualizer keep state outside React; the compiler that this warns for is not used.
      'react-hooks/incompatible-library': 'off',
      'no-restricted-properties': ['error', { property: 'innerHTML', message: 'Text of people and models is never markup.' }],
      'no-restricted-syntax': [
        'error',
        { selector: 'JSXAttribute[name.name="dangerouslySetInnerHTML"]', message: 'Text of people and models is never markup.' },
      ],
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  { files: ['scripts/**'], rules: { 'no-console': 'off' } },
  ...Object.entries(above).map(([folder, patterns]) => keepApart(folder, patterns, `${folder} stands below what it imports here.`)),
  ...features.map((feature) =>
    keepApart(
      `features/${feature}`,
      ['@/app/**', '@/testing/**', ...features.filter((other) => other !== feature).flatMap((other) => [`@/features/${other}/**`, `../${other}/**`])],
      'Features never import each other; what they share belongs to components, charts, live, api or lib.',
    ),
  ),
)
