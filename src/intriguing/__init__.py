"""How close is a classifier to being fooled, by what, and why (after Szegedy et al., 2013)."""

__version__ = "0.1.0"
