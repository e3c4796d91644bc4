"""One HTML page for all videos of a call; it opens without a network."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from mol_model.config.run_layout import FLOW_NAME, LANDMARKS_NAME, WARP_NAME
from mol_model.inference.document import Identity
from mol_model.inference.drawing import FILM, STILL
from mol_model.inference.predict import VideoResult
from mol_pipeline.contract.escaping import link as safe_link
from mol_pipeline.contract.files import write_atomically

EMBEDDED_BYTES = 6_000_000
"""A film up to this size is part of the page; a larger one is only linked."""

NO_HEAD = "no expression head"
NO_UNIT = "no action unit"

CAPTIONS = {
    STILL: "A frame of the annotated film. Green: the face that is followed. Cyan: Dlib's "
    "landmarks. Red: the network's. Arrows: the network's flow, magnified as the strip says, "
    "relative to the head (the alignment has taken the head's motion out).",
    FLOW_NAME: "The clip that moves most, in the crop that the network sees, and the flow between "
    "its frames. Hue is the direction as on the wheel, saturation the length.",
    WARP_NAME: "The later frame of each pair, warped back to the earlier by the network's flow "
    "(Eq. 11 and Fig. 5 of the paper). Where the flow is right, the error after is darker than "
    "the error before.",
    LANDMARKS_NAME: "Landmarks in the same clip (Fig. 6 of the paper).",
}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>MOL: predictions</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; color: #222;
  padding: 0 1rem }
 .limits, .rejected { padding: .6rem 1rem; border: 1px solid #e0c060; background: #fff3cd }
 .rejected { border-color: #d9a0a0; background: #fbe9e9 }
 table { border-collapse: collapse; margin: .6rem 0 }
 td, th { padding: .15rem .9rem .15rem 0; text-align: left; vertical-align: top }
 .bar { display: inline-block; height: .7em; background: #3b7dd8; margin-right: .5em }
 img, video { max-width: 100% } figure { margin: 1.2rem 0 } figcaption { color: #555 }
 section { border-top: 1px solid #ddd; margin-top: 2rem } code { overflow-wrap: anywhere }
</style>
<h1>What MOL says of {{ videos|length }} video{{ "s" if videos|length != 1 }}</h1>
<div class="limits">{% for limit in limits %}<p>{{ limit }}</p>{% endfor %}
<p>Pictures and films here show faces: pass them on only if the people agree.</p></div>

<table><tr><th>video<th>answer<th>faces
{% for v in videos %}<tr><td><a href="#{{ v.anchor }}">{{ v.name }}</a>
 <td>{{ v.verdict }}<td>{{ v.faces }}
{% endfor %}</table>

{% for v in videos %}<section id="{{ v.anchor }}"><h2>{{ v.name }}</h2>
<p><code>{{ v.document.video }}</code></p>
{% if v.document.rejected %}
<p class="rejected"><b>No answer: {{ v.document.rejected.code }}.</b>
 {{ v.document.rejected.message }}</p>
{% else %}
{% if v.document.probabilities %}
<p><b>{{ v.verdict }}</b></p>
<table>{% for name, p in v.document.probabilities.items() %}
<tr><td>{{ name }}<td><span class="bar" style="width: {{ (200 * p)|round|int }}px"></span>
 {{ "%.1f"|format(100 * p) }} %{% endfor %}</table>
{% elif v.document.windows|length > 1 or v.document.rejected_windows %}
<table><tr><th>frames<th>class<th>probability{% for w in v.document.windows %}
<tr><td>{{ w.first_frame }} to {{ w.last_frame }}<td>{{ w|said }}<td>
 {% if w.class %}{% set p = w.probabilities[w.class] %}
 <span class="bar" style="width: {{ (200 * p)|round|int }}px"></span>
 {{ "%.1f"|format(100 * p) }} %{% endif %}{% endfor %}</table>
{% else %}<p>This network has no expression head.</p>{% endif %}
{% for note in v.document.notes %}<p>{{ note }}</p>{% endfor %}
{% if v.film %}<figure><video controls loop muted src="{{ v.film }}"></video>
<figcaption>The annotated film: <a href="{{ v.link|link }}">{{ v.link }}</a></figcaption></figure>
{% endif %}
{% for image, caption in v.pictures %}<figure>
<img alt="" src="data:image/png;base64,{{ image }}"><figcaption>{{ caption }}</figcaption></figure>
{% endfor %}
<p>Every number, with landmarks in pixels of the source frames:
 <a href="{{ v.folder|link }}/prediction.json">{{ v.folder }}/prediction.json</a></p>
{% endif %}</section>
{% endfor %}

<section><h2>Made with</h2><table>
<tr><td>checkpoint<td><code>{{ made.checkpoint.path }}</code>
<tr><td>weights, SHA-256<td><code>{{ made.checkpoint.tensors_sha256 }}</code>
<tr><td>trained<td>{{ made.checkpoint.step }} steps, fold {{ made.checkpoint.fold }}, model chosen:
 {{ made.checkpoint.selection }}
<tr><td>classes<td>{{ made.checkpoint.classes|join(", ") }} (mapping
 {{ made.checkpoint.label_mapping }})
<tr><td>training data, manifest<td><code>{{ made.checkpoint.manifest_hash or "unknown" }}</code>
<tr><td>preparation<td>{{ made.preparation.sampling.frames }} frames a clip, phases
 {{ made.preparation.sampling.phases }}, alignment {{ made.preparation.alignment.reference }};
 settings <code>{{ made.preparation.config_hash[:16] }}</code>
</table></section></html>
"""


def write_page(results: Sequence[VideoResult], identity: Identity, out: Path) -> Path:
    """Write `index.html` about all videos; returns its path."""
    environment = jinja2.Environment(autoescape=True)
    environment.filters["link"] = safe_link
    environment.filters["said"] = _said
    page = environment.from_string(PAGE)
    target = out / "index.html"
    text = page.render(
        videos=[_video(result, number) for number, result in enumerate(results)],
        limits=identity.limits(),
        made=identity.document(),
    )
    write_atomically(target, text.encode())
    return target


def verdict(result: VideoResult) -> str:
    """The answer about a video in a few words."""
    document = result.document
    if result.rejected is not None:
        return f"no answer ({document['rejected']['code']})"
    if document["class"] is not None:
        return f"{document['class']}, {100 * document['probabilities'][document['class']]:.0f} %"
    if "action_units" in document:
        return _said(document)
    windows = len(document["windows"]) + len(document["rejected_windows"])
    if any("action_units" in window for window in document["windows"]):
        said = [window["action_units"] or [NO_UNIT] for window in document["windows"]]
        classes = [name for names in said for name in names]
    else:
        classes = [_said(window) for window in document["windows"]]
    if NO_HEAD in classes:
        return NO_HEAD
    counts = Counter(classes).most_common()
    return ", ".join(f"{name} in {count}" for name, count in counts) + f" of {windows} windows"


def _said(answer: Mapping[str, Any]) -> str:
    """The class, or the action units that are shown with how likely each is."""
    chances = answer["probabilities"]
    if chances is None:
        return NO_HEAD
    if "action_units" not in answer:
        return str(answer["class"])
    shown = [f"{name} {100 * chances[name]:.0f} %" for name in answer["action_units"]]
    return ", ".join(shown) or NO_UNIT


def _video(result: VideoResult, number: int) -> dict[str, object]:
    film = result.folder / FILM
    link = f"{result.folder.name}/{FILM}"
    shown = ""
    if film.is_file():
        small = film.stat().st_size <= EMBEDDED_BYTES
        shown = f"data:video/mp4;base64,{_base64(film)}" if small else safe_link(link)
    return {
        "name": result.name,
        "anchor": f"video-{number}",
        "folder": result.folder.name,
        "document": result.document,
        "verdict": verdict(result),
        "faces": _faces(result),
        "film": shown,
        "link": link,
        "pictures": [
            (_base64(path), caption)
            for name, caption in CAPTIONS.items()
            if (path := result.folder / name).is_file()
        ],
    }


def _faces(result: VideoResult) -> str:
    """How many frames showed the face, and whether there were others."""
    if result.rejected is not None:
        return ""
    windows = [window["face"] for window in result.document["windows"]]
    frames = sum(sum(window["frames"].values()) for window in windows)
    others = max((count for window in windows for count in window["others"].values()), default=0)
    return f"{frames} frames" + (f", up to {others} others seen" if others else "")


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
