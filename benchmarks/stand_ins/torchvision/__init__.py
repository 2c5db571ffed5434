"""Stands in for torchvision, which the peers import for a distance and for data not used here."""

transforms = None
