"""Tests of the analysis of many runs, on synthetic records."""
