"""Networks that take a clip's frames and give what is learned of it, each in a folder of its own.

Settings come in, a `torch.nn.Module` goes out; tensors of frames come in, expression, flow and
landmarks go out. It imports settings only: no clips, no people, no files but weights.
"""
