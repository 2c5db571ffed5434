"""Measurements, a topic a file, each with the claims that it decides."""
