"""What the runs of many experiments say together: their records as one table, plots of it, and a page to publish.

`summaries` reads, `figures` draws, `page` writes; `plot_summary_json.ipynb` shows all of it in a notebook. It needs
the extra `weirdonetworks[analysis]`, and no TensorFlow.
"""
