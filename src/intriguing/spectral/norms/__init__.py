"""Norms of single layers, from above."""
