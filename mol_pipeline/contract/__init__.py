"""What the preparation and the training stage agree on: documents, not code.

Imports the standard library, pydantic and NumPy, nothing else, so that either
side can be installed without the other.
"""
