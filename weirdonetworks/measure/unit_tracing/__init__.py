"""The call of a model, followed axis by axis: what `unit_graph` stands on."""
