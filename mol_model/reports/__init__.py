"""What a run leaves for readers: a page, a model card, text, runs beside each other.

The documents of a run come in, HTML, Markdown and text go out; every one says how the model was
chosen. It imports runs and pictures, and computes no score.
"""
