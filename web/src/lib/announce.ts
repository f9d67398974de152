// One polite live region: state changes are said to screen readers, points of curves never.
let region: HTMLElement | null = null

export function announce(sentence: string): void {
  if (!region) {
    region = document.createElement('div')
    region.setAttribute('role', 'status')
    region.setAttribute('aria-live', 'polite')
    region.className = 'sr-only'
    document.body.append(region)
  }
  region.textContent = region.textContent === sentence ? `${sentence}\u00a0` : sentence
}
