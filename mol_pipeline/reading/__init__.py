"""Images and films as grey frames with their times, and what is wrong with them.

A path comes in, frames go out, or a named fault of the file; faults of a disk are asked again. It
imports the contract.
"""
