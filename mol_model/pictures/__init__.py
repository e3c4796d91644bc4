"""Drawings of frames, flow, landmarks and warped frames, with matplotlib, as files.

Arrays and predictions come in, pictures go out. It imports scoring, clips and networks, for the
example of a fold; the figures themselves know only arrays.
"""
