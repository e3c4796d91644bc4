"""What all rooms agree in: names, the files of a run, and the settings.

Nothing comes in but a user's words, checked; frozen settings go out. It imports the pipeline's
contract alone, and `names` and `run_layout` not even that, so that a command line or a reader of a
run's state takes them without waiting.
"""
