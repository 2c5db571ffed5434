"""Families of networks: one file each, found by being here (`models.family`)."""
