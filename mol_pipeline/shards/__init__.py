"""Files of prepared clips: written, opened and proven, joined, exported, described and drawn.

Prepared videos and manifests come in, HDF5 files and manifests go out, and the reverse. It imports
the contract only; the model opens shards through `shards.opening`.
"""
