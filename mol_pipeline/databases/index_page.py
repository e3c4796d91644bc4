"""What a copy of a database holds, as one page for people; nothing is fetched from a network."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import jinja2

from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.files import write_atomically
from mol_pipeline.contract.gaps import gap_count, gaps_text
from mol_pipeline.contract.index_document import IndexDocument
from mol_pipeline.databases.index import DatabaseIndex, SourceVideo
from mol_pipeline.databases.index_report import remark_groups
from mol_pipeline.databases.names import DATABASES
from mol_pipeline.reading.frames import read_colour

THUMBNAIL_PX = 160
"""Longer side of an example."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; color: #222 }
 .synthetic, .warning { background: #fff3cd; border: 1px solid #e0c060; padding: .6rem 1rem }
 table { border-collapse: collapse; margin-bottom: 1rem }
 td, th { padding: .15rem .8rem; text-align: left; border-bottom: 1px solid #eee }
 td.n { text-align: right } tr.wrong td { background: #fde8e8 }
 figure { display: inline-block; margin: .3rem } figcaption { font-size: 12px }
</style>
<h1>{{ title }}</h1>
{% if document.synthetic %}<p class="synthetic"><b>Synthetic data.</b> Nothing here comes from a
real database.</p>{% endif %}
{% for text in warnings %}<p class="warning">{{ text }}</p>{% endfor %}
<p>{{ document.found }} clips of {{ people }} subjects
{%- if document.mapping %}; {{ document.videos }} take part under mapping {{ document.mapping }}
{%- endif %}{% if document.annotation %}; annotation {{ document.annotation }}{% endif %}.</p>
<h2>By class</h2>
<table>{% for name, n in document.by_class.items() %}
<tr><th>{{ name or "(none)" }}<td class="n">{{ n }}{% endfor %}</table>
{% for name, pictures in examples.items() %}<h3>{{ name or "(none)" }}</h3>
{% for caption, image in pictures %}<figure>{% if image %}<img alt="{{ caption }}"
 src="data:image/jpeg;base64,{{ image }}">{% endif %}<figcaption>{{ caption }}</figcaption></figure>
{% endfor %}{% endfor %}
{% if document.counts %}<h2>Against the published counts</h2>
<p>{{ document.counts|length - document.mismatches|length }} of {{ document.counts|length }} are as
published.</p>
<table><tr><th>what<th>here<th>published{% for one in document.counts %}
<tr{% if one.found != one.expected %} class="wrong"{% endif %}><td>{{ one.what }}
<td class="n">{{ one.found }}<td class="n">{{ one.expected }}{% endfor %}</table>{% endif %}
{% if document.notes %}<h2>Notes</h2><ul>
{% for text in document.notes %}<li>{{ text }}{% endfor %}</ul>{% endif %}
{% if document.rejected %}<h2>Rejected: {{ document.rejected|length }}</h2>
<table><tr><th>clip<th>code<th>why{% for one in document.rejected %}
<tr><td>{{ one.subject }}/{{ one.clip }}<td>{{ one.code }}<td>{{ one.message }}{% endfor %}</table>
{% endif %}
{% if document.corrections %}<h2>Corrected: {{ document.corrections|length }}</h2>
<table><tr><th>clip<th>field<th>wrong<th>right<th>source{% for one in document.corrections %}
<tr><td>{{ one.subject }}/{{ one.clip }}<td>{{ one.field }}<td>{{ one.wrong }}
<td>{{ one.right or "ignored" }}<td>{{ one.source }}{% endfor %}</table>{% endif %}
{% if missing %}<h2>Clips with missing frames: {{ missing|length }}</h2>
<table><tr><th>clip<th>frames<th>numbers{% for clip, n, numbers in missing %}
<tr><td>{{ clip }}<td class="n">{{ n }}<td>{{ numbers }}{% endfor %}</table>{% endif %}
{% if remarks %}<h2>What was done to clips</h2>
<table><tr><th>what<th>clips<th>{% for text, clips in remarks.items() %}
<tr><td>{{ text }}<td class="n">{{ clips|length }}<td>{{ clips[:5]|join(", ") }}{% endfor %}</table>
{% endif %}
<h2>By subject</h2>
<table>{% for name, n in document.by_subject.items() %}
<tr><th>{{ name }}<td class="n">{{ n }}{% endfor %}</table>
</html>
"""


@dataclass(frozen=True)
class Example:
    """A frame of a clip, for a page."""

    caption: str
    jpeg: bytes


def write_index_page(
    index: DatabaseIndex, document: IndexDocument, path: Path, *, examples: int = 0
) -> None:
    """Write what a copy holds as one page.

    Args:
        index: Of the database.
        document: Of it, under the mapping that is wanted.
        path: Of the page.
        examples: Frames of each class to show, of clips of different people where there are.

    Raises:
        ConfigError: If it cannot be written.
    """
    pictures = _examples(index, document, examples) if examples else {}
    page = jinja2.Environment(autoescape=True).from_string(PAGE)
    text = page.render(
        title=f"{DATABASES[document.database]}: what this copy holds",
        document=document,
        people=len({clip.subject for clip in document.clips}),
        warnings=index.warnings,
        missing=[
            (clip, gap_count(gaps), gaps_text(gaps))
            for clip, gaps in document.missing_frames.items()
        ],
        remarks=remark_groups(document.clips),
        examples={
            name: [(one.caption, base64.b64encode(one.jpeg).decode()) for one in found]
            for name, found in pictures.items()
        },
    )
    try:
        # Names of files need not be text.
        write_atomically(path, text.encode("utf-8", errors="replace"))
    except OSError as error:
        raise ConfigError(f"--html {path}: cannot be written ({error.strerror})") from error


def _examples(index: DatabaseIndex, document: IndexDocument, most: int) -> dict[str, list[Example]]:
    """Frames by class: the apex where it is known, else the middle of the clip; not of films."""
    by_class: dict[str, list[SourceVideo]] = {}
    for video, clip in zip(index.videos, document.clips, strict=True):
        mapping = document.mapping
        name = clip.labels.get(mapping) if mapping else clip.raw_label.strip().lower()
        if name is not None and video.frames[0][1]:
            by_class.setdefault(name, []).append(video)
    return {
        name: [_example(index.root, video) for video in _of_different_people(videos, most)]
        for name, videos in sorted(by_class.items())
    }


def _of_different_people(videos: Sequence[SourceVideo], most: int) -> list[SourceVideo]:
    """The first clip of each person, then the second, until there are enough."""
    turns: dict[str, int] = {}
    ordered = []
    for place, video in enumerate(videos):
        turn = turns[video.person] = turns.get(video.person, -1) + 1
        ordered.append((turn, place))
    return [videos[place] for _, place in sorted(ordered)[:most]]


def _example(root: Path, video: SourceVideo) -> Example:
    apex = video.key_frames.apex
    middle = len(video.frames) // 2
    number, name = next((one for one in video.frames if one[0] == apex), video.frames[middle])
    caption = f"{video.subject}/{video.clip}, frame {number}"
    try:
        picture = read_colour(root / video.folder / name)
    except (OSError, ValueError) as error:
        return Example(f"{caption}: {error}", b"")
    scale = min(1.0, THUMBNAIL_PX / max(picture.shape[:2]))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", small)
    return Example(caption, jpeg.tobytes())
