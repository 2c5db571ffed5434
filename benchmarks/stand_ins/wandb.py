"""Stands in for wandb, which attackbenchlib imports to share results, unused here."""

Api = None
