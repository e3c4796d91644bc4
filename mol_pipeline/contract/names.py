"""Any identity as a name of a file or folder: two identities never share one, on any disk.

    file_name("samm", "006")        samm-006
    file_name("custom", "ann a")    custom-ann_a~84b3ac2f5d3a0c1e

Ordinary identities give the name that a reader expects. Whatever cannot stand as it is (a sign
that some disk refuses, reads as a separator or spells otherwise; capitals, where disks that take
them for small letters would let two people meet; a name that is too long) is replaced, and a hash
of the whole identity tells it apart.

Convention: an ordinary name is the same after Unicode normalisation and in the spelling of a disk
that does not tell capitals. It has no `~`, every other name has one.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence

MOST_BYTES = 120
"""Of a name: with an ending and the signs of a file that is being written it stays below 255."""

DASHED = (
    *("casme-sq", "casme3-c", "megc-unseen", "samm-lv", "smic-hs", "smic-nir", "smic-vis"),
    *("smic-e-hs", "smic-e-nir", "smic-e-vis"),
)
"""Databases whose name has a dash of its own: where the first part of a name ends."""

PUBLISHED_CAPITALS = ((re.compile(r"\bspno\."), "spNO."), (re.compile(r"\bep(?=\d)"), "EP"))
"""Capitals that the owners write in their names: CAS(ME)^3 `spNO.1`, CASME `EP02_01f`. Of all
spellings that differ by case these are the ordinary ones; elsewhere small letters are."""

DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$)(\.|$)", re.IGNORECASE)
"""What Windows takes for a device, whatever its ending."""

OUR_FILES = re.compile(
    r"\.(csv|h5|html|json|jsonl|lock|md|mp4|npz|part|png|safetensors|ya?ml)$", re.IGNORECASE
)
"""Endings of what the programs write themselves: no identity may take the place of such a file."""

HASH_DIGITS = 16


def file_name(*identity: str) -> str:
    """Name of a file or folder for an identity of one or several parts.

    Args:
        identity: Its parts, e.g. database and subject. Names of equally many parts differ where
            the parts differ, also on a disk that ignores case or normalises Unicode.

    Returns:
        At most `MOST_BYTES` bytes in UTF-8; never `.`, `..`, a separator, a device of Windows,
        a leading dot or dash, or a trailing dot or blank.
    """
    whole = "-".join(identity)
    if _is_ordinary(whole) and _split(whole, len(identity)) == identity:
        return whole
    content = json.dumps(identity).encode()  # ASCII, also of half a surrogate pair
    digest = hashlib.sha256(content).hexdigest()[:HASH_DIGITS]
    return f"{_readable(whole)}~{digest}"


def person_name(person: str) -> str:
    """Name of a folder for a person of a manifest, `database/subject`."""
    database, separator, subject = person.partition("/")
    if not separator and "-" not in person:
        return file_name(person)
    return file_name(database, subject) if separator else file_name("", person)


def names_in_order(wanted: Sequence[str]) -> list[str]:
    """Names for things that their order tells apart: of equal ones the later get a number.

    Args:
        wanted: What they are called, e.g. films; capitals stay.

    Returns:
        A name for each; no two are equal on any disk.
    """
    names: list[str] = []
    for text in wanted:
        folded = text.casefold()
        whole = text if _is_ordinary(_capitals(folded)) and folded.isascii() else file_name(text)
        name, number = whole, 1
        while name.casefold() in {one.casefold() for one in names}:
            number += 1
            name = f"{whole}-{number}"
        names.append(name)
    return names


def _is_ordinary(text: str) -> bool:
    return (
        0 < len(text.encode(errors="replace")) <= MOST_BYTES
        and all(map(_is_plain, text))
        and text == _capitals(text.casefold())
        and text[0] not in ".-"
        and text[-1] != "."
        and not DEVICES.match(text)
        and not OUR_FILES.search(text)
    )


def _is_plain(sign: str) -> bool:
    """Whether a sign means the same on every disk.

    Letters of scripts without capitals and without parts that join may stay, e.g. Chinese.
    """
    if sign.isascii():
        return sign.isalnum() or sign in "._-+#@"
    return (
        unicodedata.category(sign) == "Lo"
        and unicodedata.normalize("NFKD", sign) == sign
        and not "\u1100" <= sign <= "\u11ff"  # Hangul parts join to syllables
    )


def _capitals(folded: str) -> str:
    """The ordinary spelling of a name that is in small letters."""
    for pattern, spelling in PUBLISHED_CAPITALS:
        folded = pattern.sub(spelling, folded)
    return folded


def _split(whole: str, parts: int) -> tuple[str, ...]:
    """The one way in which an ordinary name falls into its parts: the last takes what is left."""
    if parts == 1:
        return (whole,)
    head = next((name for name in DASHED if whole.startswith(f"{name}-")), None)
    if head is None:
        head, separator, rest = whole.partition("-")
        if not separator:
            return (whole,)
    else:
        rest = whole[len(head) + 1 :]
    return (head, *rest.split("-", parts - 2))


def _readable(whole: str) -> str:
    """What is left of a name when every sign that is not plain is replaced."""
    kept = (
        sign if _is_plain(sign) and sign not in ".#@" else "_"
        for sign in unicodedata.normalize("NFKD", whole)
        if not unicodedata.combining(sign)
    )
    room = MOST_BYTES - HASH_DIGITS - 1
    text = "".join(kept).strip("-").encode()[:room].decode(errors="ignore")
    return text or "_"
