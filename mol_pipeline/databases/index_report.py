"""An index as a table for people."""

from collections import Counter
from collections.abc import Iterable

from mol_pipeline.contract.gaps import gap_count, gaps_text
from mol_pipeline.contract.index_document import IndexDocument
from mol_pipeline.contract.manifest import ClipRecord
from mol_pipeline.databases.names import DATABASES
from mol_pipeline.databases.unit_report import unit_lines

MOST_LINES = 20
"""Longer lists are cut, and say so; `--json` has everything."""


def index_text(document: IndexDocument) -> str:
    """What was found, what is odd, and how it compares with what is published."""
    lines = [
        *_heading(document),
        *_counts(document),
        *_corrections(document),
        *_missing(document),
        *unit_lines(document.clips),
        *remark_lines(document.clips),
        *_rejected(document),
    ]
    return "\n".join(lines)


def _heading(document: IndexDocument) -> list[str]:
    marks = " (SYNTHETIC)" if document.synthetic else ""
    mapping = f" that take part under mapping {document.mapping}" if document.mapping else ""
    lines = [
        f"{DATABASES[document.database]}{marks}: {document.videos} clips{mapping}, "
        f"{document.subjects} subjects"
    ]
    if document.mapping and document.videos != document.found:
        lines.append(f"  {document.found} clips in all")
    if document.annotation:
        lines.append(f"  annotation: {document.annotation}")
    return [*lines, *(f"  note: {note}" for note in _cut(document.notes))]


def _counts(document: IndexDocument) -> list[str]:
    lines = []
    if len(document.by_expression) > 1:
        kinds = ", ".join(f"{n} {kind}" for kind, n in document.by_expression.items())
        lines.append(f"  expressions: {kinds}")
    lines += ["", f"  {'class':20} {document.counted:>8}"]
    lines += [f"  {name or '(none)':20} {n:8}" for name, n in document.by_class.items()]
    lines += ["", f"  {'subject':20} {'videos':>8}"]
    lines += [f"  {name:20} {n:8}" for name, n in document.by_subject.items()]
    if document.counts:
        right, all_counts = len(document.counts) - len(document.mismatches), len(document.counts)
        lines += ["", f"  {right} of {all_counts} counts are as published"]
    return lines


def _corrections(document: IndexDocument) -> list[str]:
    if not document.corrections:
        return []
    lines = (
        f"    {one.subject}/{one.clip}: {one.field} {one.wrong} -> {one.right or 'ignored'} "
        f"({one.source})"
        for one in document.corrections
    )
    return ["", "  corrections of known errors:", *lines]


def _missing(document: IndexDocument) -> list[str]:
    if not document.missing_frames:
        return []
    lines = (
        f"    {clip}: {gap_count(gaps)} ({gaps_text(gaps)})"
        for clip, gaps in document.missing_frames.items()
    )
    return ["", f"  clips with missing frames: {len(document.missing_frames)}", *_cut(lines)]


def _rejected(document: IndexDocument) -> list[str]:
    if not document.rejected:
        return []
    codes = Counter(one.code for one in document.rejected)
    listed = ", ".join(f"{code} {n}" for code, n in sorted(codes.items()))
    lines = (
        f"    {one.subject}/{one.clip}: {one.code}: {one.message}" for one in document.rejected
    )
    return ["", f"  rejected: {len(document.rejected)} ({listed})", *_cut(lines)]


def remark_lines(clips: Iterable[ClipRecord]) -> list[str]:
    """What was changed, joined, scaled, left out or assumed, and in which clips."""
    found = remark_groups(clips)
    if not found:
        return []
    lines = [
        f"    {remark}: {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for remark, names in found.items()
    ]
    return ["", "  what was done to clips:", *_cut(lines)]


def remark_groups(clips: Iterable[ClipRecord]) -> dict[str, list[str]]:
    """What was done -> the clips that it was done to."""
    found: dict[str, list[str]] = {}
    for clip in clips:
        for remark in clip.remarks:
            found.setdefault(remark, []).append(f"{clip.subject}/{clip.clip}")
    return found


def _cut(lines: Iterable[str]) -> list[str]:
    listed = list(lines)
    if len(listed) <= MOST_LINES:
        return listed
    return [*listed[:MOST_LINES], f"    and {len(listed) - MOST_LINES} more (--json has all)"]
