"""Data sets: where they come from, and what is done to their images."""
