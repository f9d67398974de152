// Joins class names; kept as one import so that components read alike.
export { clsx as classes } from 'clsx'
