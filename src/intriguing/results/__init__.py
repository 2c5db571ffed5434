"""A results folder: what every command that computes leaves, and all that a report reads."""
