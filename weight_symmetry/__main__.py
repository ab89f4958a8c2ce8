"""Lists the drivers: `python -m weight_symmetry`."""

import sys

from weirdonetworks.lab import programs

if __name__ == "__main__":
    sys.exit(programs.main("weight_symmetry", sys.argv[1:]))
