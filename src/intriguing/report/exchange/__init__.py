"""The verdict of a gate in the formats of other tools; each a function of its name's file."""
