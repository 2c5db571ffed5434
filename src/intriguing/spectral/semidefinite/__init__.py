"""The Lipschitz bound of a feed-forward chain, of semidefinite quality without its solver."""
