"""What a run leaves on disk, and the tables and pages made of it."""
