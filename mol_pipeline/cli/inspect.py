"""Commands that show: what is in shards, as text, pictures and files; what this machine has."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mol_pipeline.cli.program import main
from mol_pipeline.command_line import FOLDER
from mol_pipeline.contract.errors import ConfigError

if TYPE_CHECKING:
    from mol_pipeline.contract.manifest import Manifest


@main.command()
@click.argument("directory", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="The manifest itself, as JSON.")
def inspect(directory: Path, as_json: bool) -> None:
    """Say what is in the shards of DIRECTORY."""
    from mol_pipeline.contract.manifest_file import manifest_bytes
    from mol_pipeline.shards.files import read_checked

    manifest = read_checked(directory)
    if as_json:
        click.echo(manifest_bytes(manifest).decode(), nl=False)
    else:
        click.echo(summary(directory, manifest))


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
    from mol_pipeline.shards.files import read_checked
    from mol_pipeline.shards.preview import write_preview

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


@main.command()
@click.argument("directory", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="New directory for the files.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("files", "megc-vqa", "videofolder")),
    default="files",
    show_default=True,
    help="files: PNG, CSV, npz and croissant.json; megc-vqa: questions and answers of the MEGC "
    "challenges, one JSON object a line; videofolder: films and metadata.csv as Hugging Face's "
    "datasets load them.",
)
@click.option(
    "--croissant-only", is_flag=True, help="Only croissant.json, the description of the shards."
)
@click.option(
    "--classes", metavar="MAPPING", help="videofolder: mapping of its folders; default: the first."
)
@click.option(
    "--test",
    "tested",
    multiple=True,
    metavar="SUBJECT",
    help="videofolder: goes to the folder test; may be repeated; default: all are in train.",
)
def export(
    directory: Path,
    out: Path,
    form: str,
    croissant_only: bool,
    classes: str | None,
    tested: tuple[str, ...],
) -> None:
    """Write what is stored in a form that other programs read."""
    from mol_pipeline.shards.files import read_checked

    if form != "files" and croissant_only:
        raise click.UsageError("--croissant-only goes with --format files")
    if form != "videofolder" and (classes or tested):
        raise click.UsageError("--classes and --test go with --format videofolder")
    manifest = read_checked(directory)
    if form == "files":
        _export_files(directory, manifest, out, croissant_only=croissant_only)
    elif form == "megc-vqa":
        from mol_pipeline.shards.questions import write_questions

        click.echo(write_questions(manifest, out))
    else:
        from mol_pipeline.cli.progress import progress_line
        from mol_pipeline.shards.video_folder import write_video_folder

        with progress_line("exporting videos") as advance:
            films = write_video_folder(
                directory, manifest, out, mapping=classes, tested=tested, on_video=advance
            )
        click.echo(f"{out}: {films} films of {len(manifest.videos)} videos")


def _export_files(
    directory: Path, manifest: "Manifest", out: Path, *, croissant_only: bool
) -> None:
    from mol_pipeline.cli.progress import progress_line
    from mol_pipeline.shards.croissant import write_croissant
    from mol_pipeline.shards.export import export_clips

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


def summary(directory: Path, manifest: "Manifest") -> str:
    """What a build holds, as lines of text."""
    from collections import Counter

    from mol_pipeline.databases.index_report import remark_lines
    from mol_pipeline.databases.unit_report import unit_lines

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
    lines.append(f"  alignment: {manifest.alignment_words}")
    lines += [f"  note: {note}" for note in manifest.notes]
    if manifest.corrections:
        lines.append(f"  corrections of known errors: {len(manifest.corrections)}")
    gaps = sum(bool(video.frames_missing) for video in manifest.videos)
    if gaps:
        lines.append(f"  clips with missing frames: {gaps}")
    lines += unit_lines(manifest.videos)
    lines += remark_lines(manifest.videos)
    if manifest.rejected:
        codes = Counter(one.code for one in manifest.rejected)
        listed = ", ".join(f"{code} {number}" for code, number in sorted(codes.items()))
        lines.append(f"  rejected: {len(manifest.rejected)} ({listed})")
    return "\n".join(lines)
