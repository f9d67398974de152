// A word of the field on a screen: a click opens its line of the glossary, where the server has one.
import type { ReactNode } from 'react'
import { useQuery } from '@tanstack/react-query'
import { catalogueQuery } from '@/api/queries'
import { Term } from './term'

export function Word({ of, children }: { of: string; children: ReactNode }) {
  const { data } = useQuery(catalogueQuery())
  return <Term meaning={data?.glossary[of]}>{children}</Term>
}
