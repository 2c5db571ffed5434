"""Stages and runs: what every verb, the audit and the paper's items are made of."""
