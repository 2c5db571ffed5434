"""A page to play with: networks, digits and the paper's search in one file that asks nobody."""
