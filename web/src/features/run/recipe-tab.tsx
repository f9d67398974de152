// The recipe: what was changed, and all of it as a file.
import { useQuery } from '@tanstack/react-query'
import { recipeQuery } from '@/api/queries'
import type { Run } from '@/api/types'
import { LinkButton } from '@/components/button'
import { CodeBlock } from '@/components/command-foot'
import { Fact } from '@/components/side-group'
import { Skeleton } from '@/components/skeleton'

export function RecipeTab({ run }: { run: Run }) {
  const { data: form } = useQuery(recipeQuery(run.row.id))
  return (
    <div className="grid items-start gap-8 lg:grid-cols-2">
      <section aria-labelledby="changed">
        <h2 id="changed" className="mb-2 text-lead font-medium">
          Changed from the defaults
        </h2>
        <dl className="border-t [&>div]:border-b">
          {run.changed_fields.map((field) => (
            <Fact key={field.name} label={<code>{field.name}</code>}>
              <bdi>{field.value}</bdi>
            </Fact>
          ))}
        </dl>
        <LinkButton to={`/train?clone=${run.row.id}`} className="mt-4" icon="clone">
          Train with this recipe
        </LinkButton>
      </section>
      {form ? <CodeBlock language="recipe.toml" text={form.toml} /> : <Skeleton className="h-40" />}
    </div>
  )
}
