"""Who trains and who is tested: folds of people, the plan of them before a run.

Manifests or indexes come in, `Sample`s and `Fold`s go out; no person is on both sides. It imports
settings and the pipeline's contract, no torch.
"""
