"""Published numbers of clips by subject and class; invented clips are made from them.

Aggregates of the owners' tables, no clip of a licensed database.
"""

CASME2_2014 = """
subject happiness disgust repression surprise others sadness fear
01 1 2 0 0 6 0 0
02 1 0 5 3 4 0 0
03 0 4 0 1 2 0 0
04 0 3 0 0 2 0 0
05 1 1 0 5 12 0 0
06 1 1 0 2 1 0 0
07 0 5 0 0 4 0 0
08 0 0 1 0 2 0 0
09 5 0 5 0 3 0 1
10 0 0 0 0 13 0 1
11 0 4 0 0 6 0 0
12 2 5 0 4 1 0 0
13 2 0 0 0 6 0 0
14 3 0 0 0 1 0 0
15 1 1 0 1 0 0 0
16 2 0 1 0 1 0 0
17 7 14 9 1 3 2 0
18 0 0 0 0 3 0 0
19 3 3 0 5 4 1 0
20 0 2 0 0 9 0 0
21 0 0 1 0 1 0 0
22 0 0 2 0 0 0 0
23 1 4 3 0 4 0 0
24 0 2 0 1 4 3 0
25 0 3 0 2 2 0 0
26 2 9 0 0 5 1 0
"""

SAMM = """
subject Anger Contempt Disgust Fear Happiness Other Sadness Surprise
006 7 0 0 1 0 0 1 2
007 0 0 0 1 5 2 0 2
009 2 0 0 1 0 0 0 1
010 4 0 0 0 0 0 0 0
011 5 3 5 0 7 0 0 0
012 0 0 0 2 0 0 0 1
013 6 0 0 0 0 0 0 0
014 0 1 0 1 7 1 0 1
015 0 1 0 0 0 0 1 1
016 2 0 0 0 1 0 0 2
017 1 2 0 0 0 2 0 1
018 0 0 1 0 0 1 1 1
019 0 0 0 0 1 2 0 0
020 1 1 0 0 2 5 0 0
021 2 0 0 0 0 0 0 0
022 3 0 0 0 2 0 0 0
023 1 0 0 0 0 0 0 0
024 0 0 1 0 0 0 0 0
025 0 0 0 0 0 4 0 0
026 6 2 1 0 0 4 0 0
028 0 1 0 0 0 0 0 2
030 3 0 0 0 0 0 0 0
031 1 0 0 0 0 0 0 0
032 3 0 0 0 0 2 1 0
033 3 0 0 0 1 0 1 0
034 3 0 0 0 0 0 0 0
035 3 1 0 2 0 1 1 1
036 0 0 1 0 0 0 0 0
037 1 0 0 0 0 2 0 0
"""

SMIC_HS = """
subject negative positive surprise
1 3 2 1
2 0 1 5
3 22 11 6
4 10 4 5
5 1 0 1
6 2 0 2
8 9 4 0
9 0 1 3
11 3 3 1
12 0 8 1
13 0 10 0
14 3 2 5
15 1 1 2
18 2 0 5
19 0 1 1
20 14 3 5
"""


def counts(table: str) -> list[tuple[int, str, int]]:
    """(subject, word, clips) of a table above."""
    head, *lines = table.strip().splitlines()
    words = head.split()[1:]
    return [
        (int(subject), word, int(number))
        for subject, *numbers in map(str.split, lines)
        for word, number in zip(words, numbers, strict=True)
        if int(number)
    ]


OBJECTIVE = {
    "samm": (24, 13, 20, 8, 3, 7, 84),
    "casme2": (25, 15, 99, 26, 20, 1, 69),
}
"""Clips in objective class 1 to 7."""


def objective_classes(database: str) -> list[str]:
    """As many figures as there are clips, as the owners' tables write them."""
    return [str(n) for n, many in enumerate(OBJECTIVE[database], start=1) for _ in range(many)]
