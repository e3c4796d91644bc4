"""Arrays in, arrays out: faces, landmarks, alignment, sampling, TV-L1 flow.

No file but a model's is read here and nothing is written; what is not safe in several threads
belongs to one. It imports settings and the contract.
"""
