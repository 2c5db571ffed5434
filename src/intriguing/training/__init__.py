"""Training: as §4.2 does it, by L-BFGS on the whole set, and by minibatches to a schedule."""
