"""Experiments, a package each: settings in the package itself, the steps in its module `study`.

`python -m weirdonetworks.experiments` lists them.
"""
