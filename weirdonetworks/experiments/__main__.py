"""Lists the experiments: `python -m weirdonetworks.experiments`."""

import sys

from weirdonetworks.lab import programs

if __name__ == "__main__":
    sys.exit(programs.main("weirdonetworks.experiments", sys.argv[1:]))
