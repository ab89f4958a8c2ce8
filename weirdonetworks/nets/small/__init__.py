"""Networks, activations and combinators of the small experiments."""
