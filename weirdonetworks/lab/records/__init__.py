"""Files of a run on disk, and tables and pages of results."""
