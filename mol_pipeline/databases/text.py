"""The text of a table, in whatever encoding it was saved: decided strictly, or refused.

Unicode is known by its own rules. What spreadsheets save elsewhere has no mark: such bytes are
read in each encoding of the list below, and one is taken if only one gives text that people
write. Where two do and differ, nobody can tell but the user.
"""

import codecs
import contextlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from mol_pipeline.contract.errors import SourceError

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
BREAKS = "\t\r\n\f"
TYPOGRAPHY = frozenset(
    "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u20ac\u00b0\u00ab\u00bb\u00b7"
    "\u2022\u00a7\u00a3\u00bf\u00a1\u00a0\u00ba\u00aa"
)
"""Signs of windows code pages that stand between words."""
WORD = re.compile(r"[^\W\d_]+")

_named: ContextVar[str | None] = ContextVar("encoding", default=None)


@dataclass(frozen=True)
class Decoded:
    """A text and how it was read."""

    text: str
    """Letters composed (Unicode NFC)."""
    encoding: str
    """For people."""
    is_unicode: bool


@contextlib.contextmanager
def tables_encoded(name: str | None) -> Iterator[None]:
    """Read text tables in an encoding that the user named; None to decide."""
    token = _named.set(name)
    try:
        yield
    finally:
        _named.reset(token)


def named_encoding() -> str | None:
    """The encoding that the user named for text tables."""
    return _named.get()


def decode_table(content: bytes, path: Path) -> Decoded:
    """The text of a table.

    Args:
        content: Of the file.
        path: For messages.

    Raises:
        SourceError: If it is no text, or no encoding fits, or several do.
    """
    named = named_encoding()
    for mark, encoding in MARKS.items():
        if content.startswith(mark) and named is None:
            return _decoded(content, encoding, encoding.upper(), path, is_unicode=True)
    if named is not None:
        return _decoded(content, named, named, path, is_unicode=False)
    if b"\0" in content:
        unmarked = _unmarked_utf16(content)
        if unmarked is None:
            raise SourceError(f"{path}: is no text file; save the table as CSV in UTF-8")
        return _decoded(content, unmarked, unmarked.upper(), path, is_unicode=True)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return _decided(content, path)
    return Decoded(unicodedata.normalize("NFC", text), "UTF-8", is_unicode=True)


def _decoded(content: bytes, encoding: str, name: str, path: Path, *, is_unicode: bool) -> Decoded:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path}: is not written in {name} ({error.reason} at byte {error.start}); "
            "name its encoding with --encoding, or save it as CSV in UTF-8"
        ) from error
    return Decoded(unicodedata.normalize("NFC", text.removeprefix("\ufeff")), name, is_unicode)


def _unmarked_utf16(content: bytes) -> str | None:
    """UTF-16 by where its zeros are: every second byte of plain letters, and never the other."""
    zeros = {"utf-16-le": content[1::2].count(0), "utf-16-be": content[::2].count(0)}
    encoding = max(zeros, key=zeros.__getitem__)
    if min(zeros.values()) > max(zeros.values()) / 8:
        return None
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    no_text = any(
        unicodedata.category(sign) in {"Cc", "Cn", "Co"} for sign in set(text) - set(BREAKS)
    )
    return None if no_text else encoding


def _decided(content: bytes, path: Path) -> Decoded:
    """The one reading that people write.

    Raises:
        SourceError: If there is none, or several.
    """
    found: dict[str, str] = {}
    for name, (encoding, is_written) in LEGACY.items():
        with contextlib.suppress(UnicodeDecodeError):
            text = content.decode(encoding)
            if is_written(text):
                found[name] = unicodedata.normalize("NFC", text)
    texts = list(found.values())
    if not texts:
        raise SourceError(
            f"{path}: is neither UTF-8 nor in an encoding that its signs give away; name it with "
            "--encoding (e.g. windows-1252, gb18030), or save the table as CSV in UTF-8"
        )
    if len(set(texts)) > 1:
        samples = " or ".join(f"{_sample(text)!r} ({name})" for name, text in found.items())
        raise SourceError(
            f"{path}: its encoding cannot be told, it may say {samples}; name it with --encoding, "
            "or save the table as CSV in UTF-8"
        )
    return Decoded(texts[0], next(iter(found)), is_unicode=False)


def _sample(text: str) -> str:
    return next((word for word in WORD.findall(text) if not word.isascii()), text[:20])


def _is_western(text: str) -> bool:
    """Whether other letters stand among plain ones, as accents do, and other signs apart."""
    others = [sign for sign in text if not sign.isascii()]
    if not all(sign in TYPOGRAPHY or sign.isalpha() for sign in others):
        return False
    words = [word for word in WORD.findall(text) if not word.isascii()]
    return all(
        "LATIN" in unicodedata.name(sign, "") for word in words for sign in word
    ) and not any(_looks_foreign(word) for word in words)


def _looks_foreign(word: str) -> bool:
    """Whether a word holds other letters only, or many together, or capitals after small ones."""
    other = re.findall(r"[^\x00-\x7f]+", word)
    only = len(word) > 1 and len("".join(other)) == len(word)
    return only or max(map(len, other)) > 2 or not _has_plain_case(word)


def _has_plain_case(word: str) -> bool:
    return word.isupper() or word[1:] == word[1:].lower()


def _is_cyrillic(text: str) -> bool:
    others = [sign for sign in text if not sign.isascii()]
    if not all(sign in TYPOGRAPHY or "CYRILLIC" in unicodedata.name(sign, "") for sign in others):
        return False
    words = [word for word in WORD.findall(text) if not word.isascii()]
    mixed = any(re.search("[a-zA-Z]", word) for word in words)
    return bool(words) and not mixed and all(map(_has_plain_case, words))


def _mostly(is_common: Callable[[str], bool], most_rare: float) -> Callable[[str], bool]:
    """Whether no more than this share of the other signs of a text are rare ones."""

    def is_written(text: str) -> bool:
        others = [sign for sign in text if not sign.isascii()]
        rare = sum(not is_common(sign) for sign in others)
        rare += len(re.findall(r"[a-z][^\x00-\x7f]|[^\x00-\x7f][a-z]", text))  # of a Latin word
        return bool(others) and rare <= most_rare * len(others)

    return is_written


def _common_in(encoding: str, *leads: tuple[int, int]) -> Callable[[str], bool]:
    """Whether a sign lies in these rows of a table: the common ones come first there."""

    def is_common(sign: str) -> bool:
        try:
            code = sign.encode(encoding)
        except UnicodeEncodeError:
            return False
        return len(code) == 2 and any(low <= code[0] <= high for low, high in leads)

    return is_common


def _is_common_hangul(sign: str) -> bool:
    """Whether a syllable is made of simple letters only, as most of a Korean text are."""
    place = ord(sign) - 0xAC00
    if not 0 <= place < 11172:
        return False
    first, middle, last = place // 588, place % 588 // 28, place % 28
    return (
        first not in {1, 4, 8, 10, 13}
        and middle in {0, 1, 4, 5, 6, 8, 9, 11, 12, 13, 16, 17, 18, 20}
        and last in {0, 1, 4, 8, 16, 17, 19, 20, 21}
    )


LEGACY: dict[str, tuple[str, Callable[[str], bool]]] = {
    "windows-1252, Western European": ("cp1252", _is_western),
    "Mac Roman, Western European": ("mac_roman", _is_western),
    "windows-1251, Cyrillic": ("cp1251", _is_cyrillic),
    # Names of people hold rare signs; Big5's second table is hardly used at all.
    "GB18030, simplified Chinese": (
        "gb18030",
        _mostly(_common_in("gb2312", (0xA1, 0xA1), (0xA3, 0xA3), (0xB0, 0xD7)), 0.3),
    ),
    "Big5, traditional Chinese": (
        "big5",
        _mostly(_common_in("big5", (0xA1, 0xA2), (0xA4, 0xC6)), 0.15),
    ),
    "Shift-JIS, Japanese": (
        "cp932",
        _mostly(_common_in("cp932", (0x81, 0x83), (0x88, 0x97)), 0.15),
    ),
    "EUC-KR, Korean": ("euc_kr", _mostly(_is_common_hangul, 0.1)),
}
"""Name for people -> codec, and whether a text in it is one that people write."""
