"""The tables of a release: found, read, and what was left aside to get them said."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mol_pipeline.databases.annotated import TableFormat
from mol_pipeline.databases.annotations import Content, find_annotation, one_of
from mol_pipeline.databases.files import find_annotations
from mol_pipeline.databases.tables import Row, Table, content_of, read_table


class OwnersTables:
    """The tables below a root.

    Args:
        root: Of the release.
        title: Of the database, for messages.
        annotation: The table that the user named.
        note: Takes what is odd about this copy.
    """

    def __init__(
        self, root: Path, title: str, annotation: Path | None, note: Callable[[str], None]
    ) -> None:
        self._root = root
        self._title = title
        self._annotation = annotation
        self._note = note

    def read(self, form: TableFormat, *, newest: bool = False) -> tuple[Path, list[Row]]:
        """The annotation and its rows; notes below the table are left out.

        Raises:
            SourceError: If it is not found, or cannot be read.
        """
        table = self.find(
            form.patterns,
            lambda path: content_of(path, form.columns, form.optional),
            newest=newest,
        )
        return table, self.rows(table, form)

    def rows(self, table: Path, form: TableFormat) -> list[Row]:
        """The rows of a table in the format of a database."""
        rows = self.noted(read_table(table, form.columns, optional=form.optional))
        return [row for row in rows if row.text("filename")]

    def find(self, patterns: Sequence[str], content: Content, *, newest: bool = False) -> Path:
        """The annotation, see `find_annotation`; others that are not used are noted."""
        table, notes = find_annotation(
            self._root, patterns, self._title, self._annotation, content, newest=newest
        )
        for note in notes:
            self._note(note)
        return table

    def beside(self, patterns: Sequence[str]) -> Path | None:
        """A further table, below the root or beside the annotation, if there is one.

        Raises:
            SourceError: If there are several that differ.
        """
        found = find_annotations(self._root, patterns)
        if not found and self._annotation is not None:
            found = find_annotations(self._annotation.absolute().parent, patterns, deep=False)
        if not found:
            return None
        table, notes = one_of(found, self._root)
        for note in notes:
            self._note(note)
        return table

    def noted(self, table: Table) -> tuple[Row, ...]:
        """The rows of a table; what was left aside in it is noted."""
        for note in table.notes:
            self._note(note)
        return table.rows
