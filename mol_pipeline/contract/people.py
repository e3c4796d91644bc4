"""One person, one name: spellings that people mix up are found before a fold is made.

`Anna` and `anna`, `01` and `1`, `s1` and `s01`, a composed and a decomposed `ü`, a blank more or
less: a person who is written in two ways would be two people, one on each side of a fold.
"""

import re
import unicodedata
from collections.abc import Iterable

NUMBERED = re.compile(r"([^\W\d_]*)0*(\d+)")
"""A word, or none, and a number."""


def spelling_key(name: str) -> str:
    """What all spellings of a name have in common: case, Unicode form, blanks, leading zeros aside.

    Zeros count in longer names, e.g. `05-30-1920x1080`, which are no numbers of people.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    text = " ".join(text.split())
    numbered = NUMBERED.fullmatch(text)
    return text if numbered is None else f"{numbered[1]}{numbered[2]}"


def person_key(person: str) -> tuple[str, str]:
    """What all spellings of a person have in common, from a name or `database/name`."""
    database, _, subject = person.rpartition("/")
    return spelling_key(database), spelling_key(subject)


def seen_before(people: Iterable[str], known: Iterable[str]) -> set[str]:
    """Those of some people who are among the known ones, in whatever spelling."""
    keys = {person_key(person) for person in known}
    return {person for person in people if person_key(person) in keys}


def spelled_in_two_ways(people: Iterable[str]) -> list[tuple[str, ...]]:
    """The spellings of each person who has several.

    Args:
        people: Names, or `database/name`.

    Returns:
        Sorted groups of two names or more.
    """
    spellings: dict[tuple[str, str], set[str]] = {}
    for person in people:
        spellings.setdefault(person_key(person), set()).add(person)
    return sorted(tuple(sorted(names)) for names in spellings.values() if len(names) > 1)
