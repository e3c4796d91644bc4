"""Shards written anew, so that they hold other videos than they did."""

from collections.abc import Callable
from pathlib import Path

from mol_pipeline.contract.agreement import videos_by_shard
from mol_pipeline.contract.manifest import Manifest, VideoRecord
from mol_pipeline.contract.manifest_file import read_manifest, write_manifest
from mol_pipeline.contract.shard_layout import CLIP_ARRAYS, KEY_ARRAYS
from mol_pipeline.contract.video_table import table_numbers, table_texts
from mol_pipeline.shards.files import PreparedVideo, write_shard
from mol_pipeline.shards.opening import open_shard


def rewrite(directory: Path, change: Callable[[VideoRecord], VideoRecord]) -> Manifest:
    """Change every video of a directory, in its manifest and in its shards."""
    manifest = read_manifest(directory)
    videos = {name: [*map(change, some)] for name, some in videos_by_shard(manifest).items()}
    shards = []
    for shard in manifest.shards:
        with open_shard(directory / shard.file) as file:
            arrays = {one.name: file[one.name][:] for one in CLIP_ARRAYS if one.name != "video"}
            keys = {one.name: file[one.name][:] for one in KEY_ARRAYS}
        prepared = [
            PreparedVideo(
                arrays={
                    name: data[video.first_row : video.first_row + video.rows]
                    for name, data in arrays.items()
                }
                | {name: data[number : number + 1] for name, data in keys.items()},
                identity=table_texts(video, video.stored_key_frames),
                key_frames=table_numbers(video),
            )
            for number, video in enumerate(videos[shard.file])
        ]
        shards.append(
            write_shard(
                directory / shard.file,
                prepared,
                compression=manifest.config["shards"]["compression"],
                config_hash=manifest.config_hash,
            )
        )
    changed = manifest.model_copy(
        update={
            "shards": tuple(shards),
            "videos": tuple(video for some in videos.values() for video in some),
        }
    )
    write_manifest(changed, directory)
    return changed
