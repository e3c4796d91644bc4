"""SAMM (Davison et al. 2016) as its owners ship it.

    006/006_1_2/006_05562.jpg               subject / clip / subject_number
    SAMM_Micro_FACS_Codes_v2.xlsx           notes, then a header row with `Subject`

Convention: annotated onset, apex and offset are the numbers in the file names.
"""

import re
from pathlib import Path

from mol_pipeline.contract.manifest import KeyFrames, KeyFrameSource, RejectedVideo
from mol_pipeline.databases.corrections import correct
from mol_pipeline.databases.files import find_annotation, list_frames, require_root, walk
from mol_pipeline.databases.index import (
    DatabaseIndex,
    Findings,
    SourceVideo,
    missing_numbers,
)
from mol_pipeline.databases.published_counts import compare_with_published
from mol_pipeline.databases.synthetic import is_synthetic
from mol_pipeline.databases.tables import Row, read_table

ANNOTATION_PATTERNS = ("*SAMM*Micro*FACS*Codes*.xlsx", "*SAMM*Micro*FACS*Codes*.xls")
CLIP_FOLDER = re.compile(r"^(\d{1,3})_\d+_\d+$")
COLUMNS = ("subject", "filename", "onset frame", "apex frame", "offset frame", "estimated emotion")


class Samm:
    """Adapter of SAMM."""

    name = "samm"

    def index(
        self, root: Path, *, annotation: Path | None = None, apply_corrections: bool = True
    ) -> DatabaseIndex:
        """List SAMM's clips; see `Adapter.index`."""
        require_root(root, "SAMM")
        table = find_annotation(root, ANNOTATION_PATTERNS, "SAMM", annotation)
        rows = read_table(table, first_column="subject", required=COLUMNS)
        folders = _clip_folders(root)
        findings = Findings()
        annotated = set()
        for row in rows:
            clip = row.text("filename")
            if not clip:
                continue  # a note below the table
            if clip in annotated:
                _reject(findings, row, "duplicate-row", f"{clip} is annotated twice")
                continue
            annotated.add(clip)
            self._take(row, folders.get(clip), root, findings, apply_corrections)
        for clip in sorted(folders.keys() - annotated):
            findings.rejected.append(
                RejectedVideo(
                    database=self.name,
                    subject=clip.split("_")[0].zfill(3),
                    clip=clip,
                    code="not-annotated",
                    message=f"{folders[clip].relative_to(root).as_posix()}: no row in {table.name}",
                )
            )
        videos = findings.sorted_videos()
        synthetic = is_synthetic(root)
        return DatabaseIndex(
            database=self.name,
            root=root,
            videos=videos,
            annotation=table,
            synthetic=synthetic,
            rejected=findings.sorted_rejected(),
            corrections=tuple(findings.corrections),
            counts=() if synthetic else compare_with_published(self.name, videos),
        )

    def _take(
        self,
        row: Row,
        folder: Path | None,
        root: Path,
        findings: Findings,
        apply_corrections: bool,
    ) -> None:
        clip = row.text("filename")
        try:
            key_frames, onset, offset = self._key_frames(row, findings, apply_corrections)
        except ValueError as error:
            _reject(findings, row, "impossible-row", str(error))
            return
        if folder is None:
            _reject(findings, row, "no-folder", f"no folder {clip} below the root")
            return
        frames = [
            (number, name) for number, name in list_frames(folder) if onset <= number <= offset
        ]
        if not frames:
            interval = f"{onset}..{offset}"
            _reject(findings, row, "no-frames", f"{folder.name}: no frame in {interval}")
            return
        findings.videos.append(
            SourceVideo(
                database=self.name,
                subject=_subject(row),
                clip=clip,
                raw_label=row.text("estimated emotion"),
                key_frames=key_frames,
                folder=folder.relative_to(root).as_posix(),
                frames=tuple(frames),
                missing=missing_numbers(frames, onset, offset),
            )
        )

    def _key_frames(
        self, row: Row, findings: Findings, apply_corrections: bool
    ) -> tuple[KeyFrames, int, int]:
        """Key frames of a row with onset and offset, put right where a known error is present.

        Raises:
            ValueError: If a cell is no number or the order is impossible.
        """
        values: dict[str, int | None] = {}
        sources: dict[str, KeyFrameSource] = {}
        for field in ("onset", "apex", "offset"):
            value = row.integer(f"{field} frame")
            right = value
            if apply_corrections:
                right = correct(self.name, row.text("filename"), field, value, findings.corrections)
            values[field] = right
            sources[f"{field}_source"] = (
                "absent" if right is None else "annotated" if right == value else "corrected"
            )
        onset, apex, offset = values["onset"], values["apex"], values["offset"]
        if onset is None or offset is None:
            raise ValueError(f"onset {onset} or offset {offset} is not annotated")
        if onset >= offset:
            raise ValueError(f"onset {onset} does not come before offset {offset}")
        if apex is not None and not onset <= apex <= offset:
            raise ValueError(f"apex {apex} lies outside onset {onset} .. offset {offset}")
        return KeyFrames(onset=onset, apex=apex, offset=offset, **sources), onset, offset


def _subject(row: Row) -> str:
    text = row.text("subject") or row.text("filename").split("_")[0]
    return text.zfill(3) if text.isdigit() else text


def _reject(findings: Findings, row: Row, code: str, message: str) -> None:
    findings.rejected.append(
        RejectedVideo(
            database=Samm.name,
            subject=_subject(row),
            clip=row.text("filename"),
            code=code,
            message=f"{message} (annotation row {row.number})",
        )
    )


def _clip_folders(root: Path) -> dict[str, Path]:
    """Clip folders by name, wherever the release was unpacked; the shallowest wins."""
    found: dict[str, Path] = {}
    for folder, subfolders, _ in walk(root):
        for name in subfolders:
            if CLIP_FOLDER.match(name):
                path = folder / name
                if name not in found or len(path.parts) < len(found[name].parts):
                    found[name] = path
    return found
