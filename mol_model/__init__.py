"""The MOL network, its training and evaluation."""
