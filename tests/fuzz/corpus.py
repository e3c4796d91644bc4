"""Minimal documents that once ended in a traceback: tried first, and for ever."""

FOUND: dict[str, list[tuple[str, bytes]]] = {
    "manifest": [
        ("manifest.json", b"[" * 100_000),
        ("manifest.json", b'{"schema_version": ' + b"9" * 5000 + b"}"),
    ],
    "settings BuildConfig": [
        ("paper.yaml", b"sampling: {frames: " + b"9" * 5000 + b"}"),
        ("paper.yaml", b"a: &a [*a]"),
        ("paper.yaml", b"a: !!int ''"),
        ("paper.yaml", b"sampling: {frames: 2001-99-99}"),
        ("paper.yaml", b"1: 2\nx: 3"),
    ],
    "run directory": [
        ("metrics.json", b'{"spread": 3}'),
        ("metrics.json", b"[]"),
        ("run.json", b'{"folds": ["/etc/passwd"]}'),
        ("run.json", b'{"folds": [".."]}'),
        ("folds/samm-008/failed.json", b"{}"),
        ("folds/samm-009/running.json", b"{}"),
        ("config.yaml", b"- 1"),
        ("folds/samm-006/predictions.json", b"[3]"),
    ],
    "list of own videos": [("list.csv", b"path,subject,label\n" + b",\n" * 1000)],
    "checkpoint of the release": [("state.pt", b"weights, as text\n")],
}
"""Reader -> (file, content)."""
