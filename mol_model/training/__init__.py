"""One fold's training: from a network, clips and settings to a checkpoint and a log of metrics.

The loop, its optimiser, the order of batches, the streams of random numbers, the choice of the
model and the checkpoint on disk. It imports scoring (to choose on validation people), clips,
protocols and networks, and knows no run.
"""
