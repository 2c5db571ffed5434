"""Bounds of whole networks, and radii around images that they certify."""
