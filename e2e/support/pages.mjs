// Every page of the studio, by name; `ids` are runs that are there: one that trains and two that ended.
export const pages = ({ live, done, other, sweep }) => ({
  home: '/',
  train: '/train?model=starter&preset=tone',
  'train-scratch': '/train?preset=scratch',
  runs: '/runs',
  ...(live && { run: `/runs/${live}` }),
  ...(done && {
    'run-finished': `/runs/${done}`,
    'run-samples': `/runs/${done}/samples`,
    'run-log': `/runs/${done}/log`,
    'run-files': `/runs/${done}/files`,
    'run-recipe': `/runs/${done}/recipe`,
    'run-report': `/runs/${done}/report`,
  }),
  ...(done &&
    other && {
      compare: `/runs/compare?runs=${done},${other}`,
      'compare-parallel': `/runs/compare?runs=${done},${other}&view=parallel`,
      'compare-scatter': `/runs/compare?runs=${done},${other}&view=scatter`,
    }),
  ...(sweep && { sweep: `/sweeps/${sweep}` }),
  system: '/system',
  nowhere: '/there-is-no-such-page',
})
