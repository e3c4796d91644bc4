"""The build: which video goes into which shard, run on Dask, resumed after a crash."""

from mol_pipeline.graph.batch_settings import BatchSettings
from mol_pipeline.graph.cluster import ClusterOptions, TlsFiles
from mol_pipeline.graph.run import BuildResult, Progress, build

__all__ = ["BatchSettings", "BuildResult", "ClusterOptions", "Progress", "TlsFiles", "build"]
