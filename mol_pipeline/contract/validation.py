"""What is wrong with a document that does not validate, in words for one line."""

from pydantic import ValidationError

from mol_pipeline.contract.documents import shortened

LONGEST_MESSAGE = 300
"""Of the checker: it lists what is allowed, and may quote what is not."""


def first_problem(error: ValidationError) -> str:
    """The first of its problems, as `place: message`; the place is `document` if it is the whole.

    Both are shortened: they may hold what a damaged file has in the place of a name.
    """
    problem = error.errors(include_url=False)[0]
    place = ".".join(map(str, problem["loc"])) or "document"
    return f"{shortened(place)}: {shortened(problem['msg'], LONGEST_MESSAGE)}"
