"""A run: its directory, its folds one after another or side by side, what is known of its state.

A run takes a `ShardSet`, settings and options, and leaves `run.json`, a directory a fold,
`predictions.*` and `metrics.json`. It imports training, pictures, scoring and what lies below;
reports read what it leaves, never the other way round.
"""
