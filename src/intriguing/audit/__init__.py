"""Analyses of anybody's network put together: what the verbs share, and the audit of them all."""
