"""Tracing of a model's units: the graph of a call, and the rules by which its operations relate axes."""
