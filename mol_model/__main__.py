"""`python -m mol_model` is `moltrain`: the form that `torchrun -m` needs."""

from mol_model.cli import main

main(prog_name="moltrain")
