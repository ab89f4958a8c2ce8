"""What every experiment needs once: data sets, seeds, schedules, the training loop, run directories, flags, plots."""
