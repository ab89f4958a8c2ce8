"""Default widths of the hidden layers of the classifiers: apart, since settings are read without TensorFlow."""

FEATURES = (300, 100)  # Of MNIST_FC.
FILTERS = {"MNIST_CNN": (16, 32), "CIFAR10_CNN": (32, 32, 64, 64, 128, 128)}
