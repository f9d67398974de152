// The last net: a mistake of the page says so and offers to load it again; runs are not touched by it.
import { Component, type ReactNode } from 'react'
import { Button } from '@/components/button'
import { Empty } from '@/components/bits'

export class CrashBoundary extends Component<{ children: ReactNode }, { message: string | null }> {
  override state = { message: null as string | null }

  static getDerivedStateFromError(problem: unknown) {
    return { message: problem instanceof Error ? problem.message : String(problem) }
  }

  override render() {
    if (this.state.message === null) return this.props.children
    return (
      <main className="flex min-h-dvh">
        <Empty title="The page made a mistake" action={<Button look="primary" onClick={() => location.reload()}>Load it again</Button>}>
          Your runs go on; they do not need this page. What went wrong: {this.state.message}
        </Empty>
      </main>
    )
  }
}
