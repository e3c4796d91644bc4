"""The base of what documents are made of."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of every record of a document: immutable, exact types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
