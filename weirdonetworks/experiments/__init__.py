"""Experiments, each a package: settings in its `__init__`, steps in its module `study`.

`python -m weirdonetworks.experiments` lists them.
"""
