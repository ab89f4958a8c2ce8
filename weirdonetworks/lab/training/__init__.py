"""Training by compiled epochs: objectives, optimizers, schedules, hooks, trials, and studies of several trainings."""
