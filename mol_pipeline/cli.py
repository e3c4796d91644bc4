"""`molprep`: prepare micro-expression databases for MOL.

Commands parse, call one library function and print. Heavy imports live inside the
commands, so that `--help` answers at once. Results go to stdout, the rest to stderr.
"""

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mol_pipeline.contract.stopping import stopped_by_signals
from mol_pipeline.databases.names import ALIASES, DATABASES, canonical_name
from mol_pipeline.errors import (
    ConfigError,
    ErrorMappingGroup,
    ManifestError,
    SourceError,
    StageError,
    set_log_level,
)

if TYPE_CHECKING:
    from mol_pipeline.contract.manifest import Manifest, Part
    from mol_pipeline.databases.fitting import Numbers
    from mol_pipeline.databases.index import DatabaseIndex, Expression
    from mol_pipeline.graph import TlsFiles

FOLDER = click.Path(path_type=Path)
MOST_WARNINGS = 5
"""Of one kind; more are summed up in a line."""


class DatabaseName(click.ParamType):
    """A database by any of its spellings."""

    name = "database"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Canonical name, or a usage error with the nearest names."""
        found = canonical_name(value)
        if found is None:
            near = difflib.get_close_matches(value.lower(), [*DATABASES, *ALIASES], n=2, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            self.fail(f"{value!r} is none of {', '.join(DATABASES)}{hint}", param, ctx)
        return found

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What --help shows."""
        return "NAME"


dataset_option = click.option(
    "--dataset",
    type=DatabaseName(),
    required=True,
    help=f"Which database the folder holds: {', '.join(DATABASES)}.",
)
root_option = click.option(
    "--root", type=FOLDER, required=True, help="Folder of the database, as its owners ship it."
)
annotation_option = click.option(
    "--annotation", type=FOLDER, help="Annotation file, if it is not found by its name."
)
frames_option = click.option(
    "--frames",
    metavar="SUBFOLDER",
    help="Folder below the root to take frames from, if there are several sets (raw, cropped).",
)
expression_option = click.option(
    "--expression",
    type=click.Choice(("all", "micro", "macro")),
    default="all",
    show_default=True,
    help="Kind of expression, in databases that hold both.",
)
strict_option = click.option(
    "--strict", is_flag=True, help="A count that is not as published is an error."
)
corrections_option = click.option(
    "--corrections/--no-corrections",
    default=True,
    show_default=True,
    help="Put known errors of the release right.",
)
numbers_option = click.option(
    "--numbers",
    type=click.Choice(("auto", "named", "anew")),
    default="auto",
    show_default=True,
    help="Numbers in frames' names: those annotated, or anew in each clip; auto refuses doubt.",
)
encoding_option = click.option(
    "--encoding",
    callback=lambda context, option, name: None if name is None else _encoding(name),
    help="Of text tables (CSV), where it cannot be told: utf-8, windows-1252, gb18030, ...",
)


@click.group(cls=ErrorMappingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mol-micro-expression", prog_name="molprep")
@click.option("-v", "--verbose", count=True, help="More on stderr; twice for debugging.")
@click.pass_context
def main(context: click.Context, verbose: int) -> None:
    """Prepare micro-expression databases for MOL.

    Exit codes: 0 done, 2 wrong command line, 3 wrong setting, 4 manifest and files
    disagree, 5 database or model missing or garbled, 6 some videos could not be
    prepared (the others are written), 75 stopped by a batch system, 130 interrupted (both:
    run again to continue).
    """
    set_log_level(verbose)
    context.with_resource(stopped_by_signals())


@main.command()
@click.argument("out", type=FOLDER)
@click.option(
    "--layout",
    type=DatabaseName(),
    default="samm",
    show_default=True,
    help="Whose folder layout and annotation to imitate: any name that --dataset takes.",
)
@click.option("--subjects", default=8, show_default=True, type=click.IntRange(min=1))
@click.option("--seed", default=0, show_default=True, type=int)
def demo(out: Path, layout: str, subjects: int, seed: int) -> None:
    """Write a small SYNTHETIC database into OUT, in the layout of a real one."""
    from mol_pipeline.databases.demo import write_demo
    from mol_pipeline.progress import progress_line

    with progress_line("rendering clips") as advance:
        summary = write_demo(out, layout=layout, subjects=subjects, seed=seed, progress=advance)
    click.echo(f"{out}: synthetic database in the layout of {layout}: {summary}")
    click.echo(f"next: molprep build --dataset {layout} --root {out} --out SHARDS")


@main.command("index")
@dataset_option
@root_option
@annotation_option
@frames_option
@expression_option
@corrections_option
@numbers_option
@encoding_option
@click.option("--classes", metavar="MAPPING", help="Count under this label mapping, e.g. 3 or 5.")
@strict_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--out", type=FOLDER, help="Write the same JSON object to this file.")
def index_command(
    dataset: str,
    root: Path,
    annotation: Path | None,
    frames: str | None,
    expression: "Expression",
    corrections: bool,
    numbers: "Numbers",
    encoding: str | None,
    classes: str | None,
    strict: bool,
    as_json: bool,
    out: Path | None,
) -> None:
    """List what a database holds, count it, name everything odd; decodes no image."""
    from mol_pipeline.contract.manifest import write_atomically
    from mol_pipeline.databases.index_report import index_text

    index = _index(dataset, root, annotation, frames, expression, corrections, numbers, encoding)
    document = index.document(classes)
    text = json.dumps(document.model_dump(mode="json"), indent=1, ensure_ascii=False)
    click.echo(text if as_json else index_text(document))
    _compare_counts(index, strict)
    if out is not None:
        try:
            write_atomically(out, f"{text}\n".encode())
        except OSError as error:
            raise ConfigError(f"--out {out}: cannot be written ({error.strerror})") from error
        click.echo(f"index written to {out}", err=True)


@main.command()
@dataset_option
@root_option
@click.option("--out", type=FOLDER, required=True, help="New directory for the shards.")
@annotation_option
@frames_option
@expression_option
@corrections_option
@numbers_option
@encoding_option
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
@click.option("--config", "config_file", type=FOLDER, help="Settings as YAML.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting, e.g. sampling.frames=4; may be repeated.",
)
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
    dataset: str,
    root: Path,
    out: Path,
    annotation: Path | None,
    frames: str | None,
    expression: "Expression",
    corrections: bool,
    numbers: "Numbers",
    encoding: str | None,
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
    from mol_pipeline.config import BuildConfig
    from mol_pipeline.contract.settings import load_settings
    from mol_pipeline.graph import BatchSettings, ClusterOptions
    from mol_pipeline.graph import build as run_build
    from mol_pipeline.progress import build_progress

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
    shortcuts = [] if detect is None else [f"detection.detect_every={_detect_every(detect)}"]
    shortcuts += [] if no_face is None else [f"detection.no_face={no_face}"]
    config = load_settings(BuildConfig, config_file, (*overrides, *shortcuts))
    index = _index(dataset, root, annotation, frames, expression, corrections, numbers, encoding)
    _compare_counts(index, strict)
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
    click.echo(_summary(out, result.manifest))
    click.echo(f"shards written {result.shards_written}, kept {result.shards_kept}", err=True)
    failed = result.failed_in_processing
    if failed:
        for one in failed:
            where = f"{one.database}/{one.subject}/{one.clip}"
            click.echo(f"rejected: {where}: {one.code}: {one.message}", err=True)
        raise StageError(
            f"{len(failed)} of {len(index.videos)} videos could not be prepared; the others are "
            f"in {out}, reasons above and in its manifest under 'rejected'"
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
    from mol_pipeline.contract.manifest import read_manifest
    from mol_pipeline.shard_file import check_against_shards
    from mol_pipeline.shards import directory_problems

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
    from mol_pipeline.config import BuildConfig
    from mol_pipeline.graph import ClusterOptions
    from mol_pipeline.graph import build as run_build
    from mol_pipeline.progress import build_progress
    from mol_pipeline.shards import remove_strays

    if manifest.provenance.joined:
        raise ConfigError(
            f"{directory}: is joined from {len(manifest.provenance.joined)} builds of different "
            "sources; repair each where it was built and merge them again"
        )
    options = manifest.provenance.index_options
    index = _index(
        manifest.database,
        root,
        annotation,
        options.frames,
        options.expression,
        options.corrections,
        options.numbers,
        options.encoding,
    )
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
    from mol_pipeline.merge import merge as run_merge
    from mol_pipeline.merge import unfinished

    manifest = run_merge(directories, out)
    click.echo(_summary(out, manifest))
    if left := unfinished(manifest):
        for one in left:
            where = f"{one.database}/{one.subject}/{one.clip}"
            click.echo(f"not finished: {where}: {one.code}: {one.message}", err=True)
        raise StageError(
            f"{len(left)} video(s) of the parts are not finished; run 'molprep build' of their "
            "part again, which tries them again, and merge anew"
        )


@main.command()
@click.argument("directory", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="New directory for the files.")
@click.option(
    "--croissant-only", is_flag=True, help="Only croissant.json, the description of the shards."
)
def export(directory: Path, out: Path, croissant_only: bool) -> None:
    """Write clips as PNG, CSV and npz, and describe the shards in the Croissant format."""
    from mol_pipeline.croissant import write_croissant
    from mol_pipeline.export import export_clips
    from mol_pipeline.progress import progress_line
    from mol_pipeline.shards import read_checked

    manifest = read_checked(directory)
    if croissant_only:
        out.mkdir(parents=True, exist_ok=True)
    else:
        with progress_line("exporting videos") as advance:
            clips = export_clips(directory, manifest, out, on_video=advance)
        click.echo(f"{out}: {clips} clips of {len(manifest.videos)} videos")
    write_croissant(directory, manifest, out / "croissant.json")
    click.echo(f"{out / 'croissant.json'}: description of the shards")


@main.command()
@click.option(
    "--out", type=FOLDER, default=Path(), help="Where shards would go; default: this directory."
)
@click.option(
    "--landmark-model", type=FOLDER, help="68-point model file, if not the installed one."
)
def doctor(out: Path, landmark_model: Path | None) -> None:
    """Look whether this machine has all that a build needs; each lack comes with its cure."""
    from mol_pipeline.doctor import examine

    wrong = 0
    for check in examine(out, landmark_model):
        wrong += not check.ok
        cure = f"\n{'':26} cure: {check.cure}" if not check.ok else ""
        click.echo(f"{'ok' if check.ok else 'WRONG':6} {check.name:20} {check.found}{cure}")
    if wrong:
        raise ConfigError(f"{wrong} thing(s) to put right, above")


@main.command()
@click.argument("directory", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="The manifest itself, as JSON.")
def inspect(directory: Path, as_json: bool) -> None:
    """Say what is in the shards of DIRECTORY."""
    from mol_pipeline.contract.manifest import manifest_bytes
    from mol_pipeline.shards import read_checked

    manifest = read_checked(directory)
    if as_json:
        click.echo(manifest_bytes(manifest).decode(), nl=False)
    else:
        click.echo(_summary(directory, manifest))


@main.command()
@click.argument("directory", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Where the pictures and the page go.")
@click.option(
    "--videos",
    "count",
    default=6,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many videos, spread over the database.",
)
@click.option("--clip", "clips", multiple=True, help="Only this clip; may be repeated.")
def preview(directory: Path, out: Path, count: int, clips: tuple[str, ...]) -> None:
    """Draw contact sheets of stored clips as PNG, and one page to look at them."""
    from mol_pipeline.preview import write_preview
    from mol_pipeline.shards import read_checked

    manifest = read_checked(directory)
    videos = manifest.videos
    if clips:
        unknown = set(clips) - {video.clip for video in videos}
        if unknown:
            raise click.BadParameter(f"no such clip: {', '.join(sorted(unknown))}")
        chosen = [video for video in videos if video.clip in clips]
    else:
        step = max(1, len(videos) // count)
        chosen = list(videos[::step][:count])
    page = write_preview(directory, manifest, chosen, out)
    click.echo(f"{page}: {len(chosen)} contact sheets")


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


def _encoding(name: str) -> str:
    """A text encoding that this Python knows."""
    try:
        "".encode(name)
    except LookupError:
        raise click.BadParameter(
            f"--encoding {name!r}: is no text encoding, e.g. gb18030"
        ) from None
    return name


def _detect_every(text: str) -> int:
    """`first` is 0, `every` is 1, else the number."""
    words = {"first": 0, "every": 1}
    if text in words:
        return words[text]
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise click.BadParameter(f"--detect {text!r}: must be first, every, or a number from 1")


def _index(
    dataset: str,
    root: Path,
    annotation: Path | None,
    frames: str | None,
    expression: "Expression",
    corrections: bool,
    numbers: "Numbers",
    encoding: str | None,
) -> "DatabaseIndex":
    """Read a database with its adapter."""
    from mol_pipeline.databases.registry import ADAPTERS
    from mol_pipeline.databases.text import tables_encoded

    with tables_encoded(encoding):
        return (
            ADAPTERS[dataset]
            .index(
                root.resolve(),
                annotation=annotation,
                frames=frames,
                apply_corrections=corrections,
                numbers=numbers,
            )
            .only(expression)
        )


def _compare_counts(index: "DatabaseIndex", strict: bool) -> None:
    """Warn of every count that is not as published; with `strict` it is an error."""
    different = [check for check in index.counts if check.found != check.expected]
    of_subjects = [check for check in different if check.what.startswith("videos of subject")]
    for check in different:
        if check not in of_subjects or len(of_subjects) <= MOST_WARNINGS:
            click.echo(
                f"warning: {check.what}: found {check.found}, published {check.expected}", err=True
            )
    if len(of_subjects) > MOST_WARNINGS:
        click.echo(
            f"warning: {len(of_subjects)} subjects have other numbers of videos than published; "
            "'molprep index --json' lists them",
            err=True,
        )
    if different and strict:
        raise SourceError(
            f"{index.root}: {len(different)} of {len(index.counts)} counts are not as published "
            "(above); complete the copy, or leave --strict out"
        )


def _summary(directory: Path, manifest: "Manifest") -> str:
    """What a build holds, as lines of text."""
    from collections import Counter

    from mol_pipeline.databases.index_report import remark_lines

    subjects = {video.subject for video in manifest.videos}
    total = sum(shard.bytes for shard in manifest.shards)
    lines = [
        f"{directory}: {manifest.database}{' (SYNTHETIC)' if manifest.synthetic else ''}: "
        f"{len(manifest.videos)} videos of {len(subjects)} subjects, {manifest.clips} clips of "
        f"{manifest.frames_per_clip} frames in {len(manifest.shards)} shards ({total / 1e6:.1f} MB)"
    ]
    mappings = sorted({name for video in manifest.videos for name in video.labels})
    for name in mappings:
        counts = Counter(video.labels[name] for video in manifest.videos if name in video.labels)
        listed = ", ".join(f"{word} {number}" for word, number in counts.most_common())
        lines.append(f"  {name} classes: {counts.total()} videos: {listed}")
    faces: Counter[str] = Counter()
    for video in manifest.videos:
        faces.update(video.face_frames)
    lines.append(
        "  faces: " + ", ".join(f"{word} {number}" for word, number in faces.most_common())
    )
    lines += [f"  note: {note}" for note in manifest.notes]
    if manifest.corrections:
        lines.append(f"  corrections of known errors: {len(manifest.corrections)}")
    gaps = sum(bool(video.frames_missing) for video in manifest.videos)
    if gaps:
        lines.append(f"  clips with missing frames: {gaps}")
    lines += remark_lines(manifest.videos)
    if manifest.rejected:
        codes = Counter(one.code for one in manifest.rejected)
        listed = ", ".join(f"{code} {number}" for code, number in sorted(codes.items()))
        lines.append(f"  rejected: {len(manifest.rejected)} ({listed})")
    return "\n".join(lines)
