"""Neural networks that know a group acts on their data."""
