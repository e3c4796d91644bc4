"""The build: which video goes into which shard, run on Dask, resumed after a crash."""

from mol_pipeline.graph.run import BuildResult, ClusterOptions, Progress, build

__all__ = ["BuildResult", "ClusterOptions", "Progress", "build"]
