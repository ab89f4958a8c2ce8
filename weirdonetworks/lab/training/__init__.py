"""Networks trained by compiled epochs: schedules, objectives, hooks, and studies of several trainings."""
