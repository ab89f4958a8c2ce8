"""The networks of the small experiments, and the activations and combinators that they are made of."""
