"""Names that attackbenchlib imports for its own data sets."""

CIFAR10 = MNIST = None
