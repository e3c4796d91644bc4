"""One video from its source to prepared clips: footage, alignment, sampling, flow, segments.

A `VideoRecord` comes in, clips or a rejection go out. It imports databases, shards, kernels and
reading, and no Dask: `graph` runs it.
"""
