"""Infrastructure of the experiments: data sets, seeds, training, run directories, flags, plots."""
