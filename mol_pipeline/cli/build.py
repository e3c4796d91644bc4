"""Commands that make shards: build, prove, repair, join."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mol_pipeline.cli.index import compare_counts, read_index
from mol_pipeline.cli.inspect import summary
from mol_pipeline.cli.options import (
    Source,
    annotation_option,
    source_options,
    strict_option,
)
from mol_pipeline.cli.program import main
from mol_pipeline.command_line import FOLDER, settings_options
from mol_pipeline.contract.errors import ConfigError, ManifestError, StageError

if TYPE_CHECKING:
    from mol_pipeline.contract.manifest import Manifest, Part
    from mol_pipeline.graph import BuildResult, TlsFiles


@main.command()
@source_options
@click.option("--out", type=FOLDER, required=True, help="New directory for the shards.")
@strict_option
@click.option(
    "--detect",
    metavar="first|every|N",
    help="Detect the face in the first frame and hold its box (default), in every, or every Nth.",
)
@click.option(
    "--no-face",
    type=click.Choice(("reject", "interpolate", "track", "fail")),
    help="What becomes of a video with a frame without a face; default: reject.",
)
@settings_options("", "sampling.frames=4")
@click.option(
    "--landmark-model", type=FOLDER, help="68-point model file, if not the installed one."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; one a core by default.")
@click.option("--scheduler", help="Address of a running Dask scheduler (tcp:// or tls://).")
@click.option("--tls-ca", type=FOLDER, help="For tls://: certificate of the authority, PEM.")
@click.option("--tls-cert", type=FOLDER, help="For tls://: your certificate.")
@click.option("--tls-key", type=FOLDER, help="For tls://: the private key of your certificate.")
@click.option(
    "--cluster",
    "cluster_file",
    type=FOLDER,
    metavar="FILE.yaml",
    help="Work in jobs of SLURM, PBS or LSF; see pipelines/cluster/.",
)
@click.option("--memory-limit", default="auto", show_default=True, help="Per worker, e.g. 2GiB.")
@click.option("--overwrite", is_flag=True, help="Start anew instead of continuing.")
@click.option(
    "--part", metavar="I/N", help="Only this share of the shards; 'molprep merge' joins them."
)
def build(
    source: Source,
    out: Path,
    strict: bool,
    detect: str | None,
    no_face: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    landmark_model: Path | None,
    workers: int | None,
    scheduler: str | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    cluster_file: Path | None,
    memory_limit: str,
    overwrite: bool,
    part: str | None,
) -> None:
    """Prepare a database: align, sample, compute flow, write shards and manifest.

    Run again after an interruption: finished shards are verified and kept.
    """
    from mol_pipeline.cli.progress import build_progress
    from mol_pipeline.config import BuildConfig
    from mol_pipeline.contract.settings import load_settings
    from mol_pipeline.graph import BatchSettings, ClusterOptions
    from mol_pipeline.graph import build as run_build

    share = _part(part)
    if cluster_file is not None and (scheduler, workers) != (None, None):
        raise click.UsageError("--cluster says where the work runs: no --scheduler, no --workers")
    options = ClusterOptions(
        workers=workers,
        scheduler=scheduler,
        tls=_tls_files(tls_ca, tls_cert, tls_key),
        batch=load_settings(BatchSettings, cluster_file) if cluster_file is not None else None,
        memory_limit=memory_limit,
    )
    config = load_settings(BuildConfig, config_file, (*overrides, *_shortcuts(detect, no_face)))
    index = read_index(source)
    compare_counts(index, strict)
    with build_progress() as on_progress:
        result = run_build(
            index,
            config,
            out,
            landmark_model=landmark_model,
            cluster=options,
            overwrite=overwrite,
            part=share,
            on_progress=on_progress,
        )
    _tell(out, result, len(index.videos))


def _tell(out: Path, result: "BuildResult", videos: int) -> None:
    """Say what a build made of an index of so many videos.

    Raises:
        StageError: If a video could not be prepared.
    """
    click.echo(summary(out, result.manifest))
    click.echo(f"shards written {result.shards_written}, kept {result.shards_kept}", err=True)
    failed = result.failed_in_processing
    if failed:
        for one in failed:
            where = f"{one.database}/{one.subject}/{one.clip}"
            click.echo(f"rejected: {where}: {one.code}: {one.message}", err=True)
        raise StageError(
            f"{len(failed)} of {videos} videos could not be prepared; the others are in {out}, "
            "reasons above and in its manifest under 'rejected'"
        )


@main.command()
@click.argument("directory", type=FOLDER)
@click.option("--repair", is_flag=True, help="Make what is broken anew; needs --root.")
@click.option("--root", type=FOLDER, help="Folder of the database that the shards came from.")
@annotation_option
@click.option(
    "--landmark-model", type=FOLDER, help="68-point model file, if not the installed one."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; one a core by default.")
def verify(
    directory: Path,
    repair: bool,
    root: Path | None,
    annotation: Path | None,
    landmark_model: Path | None,
    workers: int | None,
) -> None:
    """Prove that every shard in DIRECTORY is what its manifest says, and the manifest itself.

    With --repair the broken shards, and no others, are made anew from --root with the
    settings in the manifest.
    """
    from mol_pipeline.contract.manifest_file import read_manifest
    from mol_pipeline.shards.files import directory_problems
    from mol_pipeline.shards.opening import check_against_shards

    manifest = read_manifest(directory)
    problems = list(directory_problems(directory, manifest))
    for problem in problems:
        click.echo(f"{problem.kind}: {directory / problem.where}: {problem.message}", err=True)
    if problems and repair:
        if root is None:
            raise click.UsageError("--repair needs --root: the frames are read again from there")
        _repair(directory, manifest, root, annotation, landmark_model, workers)
        manifest = read_manifest(directory)
        problems = list(directory_problems(directory, manifest))
    if problems:
        raise ManifestError(
            f"{directory}: {len(problems)} problem(s); run the same 'molprep build' again, or "
            "--repair: both keep the good shards and make the others anew"
        )
    total = sum(shard.bytes for shard in manifest.shards)
    click.echo(
        f"{directory}: {len(manifest.shards)} shards, {total:,} bytes: all as in the manifest"
    )
    if words := check_against_shards(directory, manifest):
        click.echo(words, err=True)


def _repair(
    directory: Path,
    manifest: "Manifest",
    root: Path,
    annotation: Path | None,
    landmark_model: Path | None,
    workers: int | None,
) -> None:
    """Remove files that no manifest names, and build what is broken."""
    from mol_pipeline.cli.progress import build_progress
    from mol_pipeline.config import BuildConfig
    from mol_pipeline.databases.adapter import IndexRequest
    from mol_pipeline.graph import ClusterOptions
    from mol_pipeline.graph import build as run_build
    from mol_pipeline.shards.files import remove_strays

    if manifest.provenance.joined:
        raise ConfigError(
            f"{directory}: is joined from {len(manifest.provenance.joined)} builds of different "
            "sources; repair each where it was built and merge them again"
        )
    request = IndexRequest(root.resolve(), annotation, manifest.provenance.index_options)
    index = read_index(Source(manifest.database, request))
    for path in remove_strays(directory, manifest.shards):
        click.echo(f"removed: {path}", err=True)
    with build_progress() as on_progress:
        result = run_build(
            index,
            BuildConfig.model_validate_json(json.dumps(manifest.config)),
            directory,
            landmark_model=landmark_model,
            cluster=ClusterOptions(workers=workers),
            part=manifest.part,
            on_progress=on_progress,
        )
    click.echo(f"shards written {result.shards_written}, kept {result.shards_kept}", err=True)


@main.command()
@click.argument("directories", type=FOLDER, nargs=-1, required=True)
@click.option("--out", type=FOLDER, required=True, help="New directory for all shards.")
def merge(directories: tuple[Path, ...], out: Path) -> None:
    """Join the outputs of several builds of one database, such as the parts of one build."""
    from mol_pipeline.shards.merge import merge as run_merge
    from mol_pipeline.shards.merge import unfinished

    manifest = run_merge(directories, out)
    click.echo(summary(out, manifest))
    if left := unfinished(manifest):
        for one in left:
            where = f"{one.database}/{one.subject}/{one.clip}"
            click.echo(f"not finished: {where}: {one.code}: {one.message}", err=True)
        raise StageError(
            f"{len(left)} video(s) of the parts are not finished; run 'molprep build' of their "
            "part again, which tries them again, and merge anew"
        )


def _tls_files(ca: Path | None, cert: Path | None, key: Path | None) -> "TlsFiles | None":
    """The three TLS files, or none of them."""
    from mol_pipeline.graph import TlsFiles

    if ca is None and cert is None and key is None:
        return None
    if ca is None or cert is None or key is None:
        raise click.UsageError("--tls-ca, --tls-cert and --tls-key belong together")
    return TlsFiles(ca=ca, cert=cert, key=key)


def _part(text: str | None) -> "Part | None":
    """`3/40` as a part."""
    from mol_pipeline.contract.manifest import Part

    if text is None:
        return None
    number, _, of = text.partition("/")
    if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise click.BadParameter(f"--part {text!r}: must be I/N with I from 1 to N, e.g. 3/40")
    return Part(number=int(number), of=int(of))


def _shortcuts(detect: str | None, no_face: str | None) -> list[str]:
    """Options that stand for settings, as settings."""
    settings = [] if detect is None else [f"detection.detect_every={_detect_every(detect)}"]
    return settings + ([] if no_face is None else [f"detection.no_face={no_face}"])


def _detect_every(text: str) -> int:
    """`first` is 0, `every` is 1, else the number."""
    words = {"first": 0, "every": 1}
    if text in words:
        return words[text]
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise click.BadParameter(f"--detect {text!r}: must be first, every, or a number from 1")
