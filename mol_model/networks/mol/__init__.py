"""MOL itself: blocks, heads, losses, and the builder that turns settings into the network."""
