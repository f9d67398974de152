// Where menus, popovers and tooltips are put: into the open dialog, which covers all else, or into the page's
// main part, so that they lie within a landmark.
export function portalHome(): HTMLElement {
  const dialogs = document.querySelectorAll<HTMLElement>('dialog[open]')
  return dialogs[dialogs.length - 1] ?? document.getElementById('content') ?? document.body
}
