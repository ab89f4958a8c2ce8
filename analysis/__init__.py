"""Analysis of many runs: their records as a pandas table, plots, and an HTML report.

`summaries` loads records, `figures` plots them and `page` writes the report; `plot_summary_json.ipynb` is a notebook on
all three. Needs the extra `weirdonetworks[analysis]`; does not import TensorFlow.
"""
