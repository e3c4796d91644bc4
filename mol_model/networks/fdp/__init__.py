"""FDP: frames ranked and pooled into one representation of the clip, read by two tasks.

Settings come in, a module goes out; frames come in, expression and dynamic image go out. The
authors' release computes something else than their paper says: there are two flavours.
"""
