"""Sonnet modules, one idea a file."""
