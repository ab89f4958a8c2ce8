"""What a trained network does under transformations of its inputs; figures as arrays, which the lab plots."""
