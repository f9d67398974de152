// What stands where a page is not there yet, or not at all.
import { LinkButton } from '@/components/button'
import { Page } from '@/components/page'
import { Empty } from '@/components/bits'
import { Skeleton } from '@/components/skeleton'

export function PageSkeleton() {
  return (
    <main id="content" tabIndex={-1} className="flex grow flex-col gap-6 px-4 py-5 outline-none md:px-8">
      <Skeleton className="h-8 w-64" />
      <Skeleton className="h-40" lines={2} />
    </main>
  )
}

export function NotFound() {
  return (
    <Page title="Nothing here" tab="Nothing here">
      <Empty title="There is no page at this address" action={<LinkButton to="/">Home</LinkButton>}>
        A run may have been renamed or deleted; the list of runs shows what there is.
      </Empty>
    </Page>
  )
}
