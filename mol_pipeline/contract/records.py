"""The bases of what documents and settings are made of."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of every record of a document: immutable, exact types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Settings(Record):
    """Base of all settings of both programs: a record whose numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)
