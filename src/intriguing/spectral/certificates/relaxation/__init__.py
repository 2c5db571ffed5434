"""Certificates from linear relaxations of a whole network in the ball around one image."""
