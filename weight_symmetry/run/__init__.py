"""The pipeline of the drivers: settings, trials, records and summaries."""
