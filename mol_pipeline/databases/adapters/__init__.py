"""One module a database: where its owners put frames and tables, and how a row reads."""
