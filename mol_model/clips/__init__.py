"""Clips as training sees them: opened and proven shards, batches on a device, views of a clip.

Directories of shards come in, `ClipBatch` tensors go out, in the order that was asked for. It
imports protocols, for who takes part, and the pipeline's contract and opening of shards.
"""
