"""The analysis of many runs, on an experiment that is invented."""
