"""Certificates by affine forms of everything that a network makes of a ball around one image."""
