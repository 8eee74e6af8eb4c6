// From MLflow's '#/experiments/1/runs/ab…' to the studio's page of the same.
const [, experiment, run] = location.hash.match(/^#\/experiments\/(\w+)(?:\/runs\/(\w+))?/) || []
location.replace(run ? `/files/run/${run}` : experiment ? `/files/experiment/${experiment}` : '/experiments')
