"""A Croissant description (MLCommons) of a directory of shards, through its own library."""

import json
import os
from pathlib import Path
from typing import Any

from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.files import hash_file, write_atomically
from mol_pipeline.contract.manifest import Manifest
from mol_pipeline.contract.manifest_file import MANIFEST_NAME


def write_croissant(directory: Path, manifest: Manifest, path: Path) -> None:
    """Describe shards for dataset catalogues; no frame and no label of a clip is in it.

    The shards stay where they are: the description leads to them from where it lies itself, and
    loads as long as both keep their places.

    Args:
        directory: Of the shards.
        manifest: Theirs.
        path: Of the description.

    Raises:
        ConfigError: If the library is not installed.
    """
    try:
        import mlcroissant as mlc
    except ImportError as error:
        raise ConfigError(
            "croissant.json needs the library mlcroissant; run "
            "'pip install mol-micro-expression[export]'"
        ) from error
    kind = "Synthetic data in the layout of" if manifest.synthetic else "Clips prepared from"
    classes = "; ".join(f"{one.mapping}: {', '.join(one.classes)}" for one in manifest.mappings)
    metadata = mlc.Metadata(
        name=f"mol-{manifest.database}",
        description=(
            f"{kind} {manifest.database}: {len(manifest.videos)} videos, {manifest.clips} clips of "
            f"{manifest.frames_per_clip} aligned grey frames with optical flow and 68 landmarks. "
            f"Classes by mapping: {classes}."
        ),
        license=["The release agreement of the source database; not to be passed on."],
        url="https://example.invalid/not-published",
        version="1.0.0",
        distribution=_files(mlc, directory, manifest, _way(path.parent, directory)),
        record_sets=[_videos(mlc)],
    )
    text = json.dumps(metadata.to_json(), indent=1, sort_keys=True, default=str)
    write_atomically(path, (text + "\n").encode())


def _way(here: Path, there: Path) -> str:
    """What stands before the name of a file in `there`, seen from `here`.

    Links are resolved: the way up from a linked folder is not the way that was come.
    """
    way = Path(os.path.relpath(there.resolve(), here.resolve())).as_posix()
    return "" if way == "." else f"{way}/"


def _files(mlc: Any, directory: Path, manifest: Manifest, url: str) -> list[Any]:
    """The manifest and the shards, with what proves them."""
    return [
        mlc.FileObject(
            id=MANIFEST_NAME,
            name=MANIFEST_NAME,
            content_url=url + MANIFEST_NAME,
            encoding_formats=["application/json"],
            sha256=hash_file(directory / MANIFEST_NAME),
        ),
        *(
            mlc.FileObject(
                id=shard.file,
                name=shard.file,
                content_url=url + shard.file,
                content_size=f"{shard.bytes} B",
                encoding_formats=["application/x-hdf5"],
                sha256=shard.sha256,
            )
            for shard in manifest.shards
        ),
    ]


def _videos(mlc: Any) -> Any:
    """The videos as records of the manifest."""
    columns = ("subject", "person", "clip", "raw_label", "shard")
    return mlc.RecordSet(
        id="videos",
        name="videos",
        description="Videos of the source, one record each.",
        fields=[_field(mlc, name, f"$.videos[*].{name}") for name in columns],
    )


def _field(mlc: Any, name: str, path: str) -> Any:
    return mlc.Field(
        id=f"videos/{name}",
        name=name,
        data_types=[mlc.DataType.TEXT],
        source=mlc.Source(file_object=MANIFEST_NAME, extract=mlc.Extract(json_path=path)),
    )
