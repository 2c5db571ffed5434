"""Bounds around one image that know where it lies: Lagrange multipliers of all that holds there."""
