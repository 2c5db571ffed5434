"""Hardening: pools of adversarial examples for each layer (§4.2), and spectral penalties (§4.3)."""
