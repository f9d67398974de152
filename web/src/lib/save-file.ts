// Hands bytes made in the page to the person as a download.
export function saveFile(name: string, content: Blob): void {
  const address = URL.createObjectURL(content)
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), 10_000)
}

/** A name that every file system takes. */
export function fileName(...parts: string[]): string {
  return parts.join('-').replace(/[^\p{L}\p{N}.-]+/gu, '-').replace(/^-+|-+$/g, '') || 'apertis'
}

/** Fields of a CSV line; texts that a spreadsheet would run as a formula are quoted as text. */
export function csvLine(cells: (string | number | null | undefined)[]): string {
  return cells
    .map((cell) => {
      if (cell === null || cell === undefined) return ''
      if (typeof cell === 'number') return Number.isFinite(cell) ? String(cell) : ''
      const safe = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell
      return /[",\n\r]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe
    })
    .join(',')
}
