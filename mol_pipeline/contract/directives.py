"""Words of the directives in a job script (`#SBATCH`, `#PBS`, `#BSUB`).

A batch system reads them itself, by rules that resemble those of the shell: double quotes and
backslashes are known, `$` is a letter.
"""

import re

_PLAIN = re.compile(r"[\w%+,./:=@-]*")


def directive_word(text: str) -> str:
    """One word, quoted only where it must be: plain paths look as everybody writes them."""
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def slurm_output(folder: str, pattern: str) -> str:
    """Word for `--output` and `--error`: a pattern of SLURM (`%x-%j.log`) in any folder."""
    return directive_word(f"{folder.replace('%', '%%')}/{pattern}")
