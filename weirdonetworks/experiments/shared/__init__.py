"""Code of several experiments: settings, data, networks, comparisons."""
