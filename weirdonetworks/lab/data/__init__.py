"""Data sets: loading, augmentation, transformed images, tasks on sets."""
