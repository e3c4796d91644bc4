"""Features made by hand with a linear classifier, and controls that a network must beat.

Views come in, logits go out. Nothing has a gradient: what is learned is fitted at once, from all
clips of the training part, and lies in buffers, so that checkpoints hold it.
"""
