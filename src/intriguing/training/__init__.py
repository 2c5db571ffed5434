"""Training as §4.2 does it: L-BFGS on the whole training set, until convergence."""
