"""Networks: the paper's architectures, and how anybody's own gets in."""
