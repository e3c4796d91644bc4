"""What is said of held-out videos, and how good it is.

Networks and clips come in, `VideoPrediction`s and dictionaries of scores go out, with the documents
in which they are kept. It imports clips, protocols and networks; metrics are pure functions of
arrays.
"""
