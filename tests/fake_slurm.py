"""sbatch, squeue and scancel for a machine without SLURM: a job is run here, at once.

`install` writes the three commands into a folder for PATH. What they do is what SLURM does with a
job script: directives are read from its head with SLURM's rules of quoting, it is copied, and run
by its interpreter with its output in the files that it names.
"""

import inspect
import sys


def parsed(text):
    """Words of a directive, by the rules of sbatch: quotes, and backslashes also within them."""
    words, word, quote, escaped = [], None, None, False
    for sign in text:
        if escaped:
            word, escaped = (word or "") + sign, False
        elif sign == chr(92):
            escaped = True
        elif quote:
            if sign == quote:
                quote = None
            else:
                word += sign
        elif sign in "'" + chr(34):
            quote, word = sign, word or ""
        elif sign.isspace():
            words, word = words + ([word] if word is not None else []), None
        else:
            word = (word or "") + sign
    return words + ([word] if word is not None else [])


PROGRAM = """#!{python}
import os, pathlib, re, signal, subprocess, sys

home = pathlib.Path({home!r})
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]


{parsed}

def alive(number):
    try:
        state = pathlib.Path(f"/proc/{{number}}/stat").read_text().rpartition(")")[2]
        return state.split()[0] != "Z"
    except OSError:
        return False


if name == "sbatch":
    number = len(list(home.glob("*.sh"))) + 101
    script = home / f"{{number}}.sh"
    script.write_bytes(pathlib.Path(words[-1]).read_bytes())
    script.chmod(0o700)
    places = {{}}
    for line in script.read_text().splitlines():
        if line.startswith("#SBATCH"):
            option, *value = parsed(line[len("#SBATCH"):])
            if option in ("-e", "-o"):
                pattern = value[0].replace("%%", chr(0)).replace("%J", str(number))
                places[option] = pattern.replace(chr(0), "%")
    if (home / "queue is full").exists():
        (home / f"{{number}}.pending").touch()
    else:
        job = subprocess.Popen(
            [script], stdin=subprocess.DEVNULL, stdout=open(places["-o"], "a"),
            stderr=open(places["-e"], "a"), start_new_session=True,
        )
        (home / f"{{number}}.pid").write_text(str(job.pid))
    print("Submitted batch job", number)
elif name == "squeue":
    if (home / "squeue is broken").exists():
        sys.exit("slurm_load_jobs error: Unable to contact slurm controller")
    for path in home.glob("*.pid"):
        if alive(int(path.read_text())):
            print(path.stem, "RUNNING (None)")
    for path in home.glob("*.pending"):
        print(path.stem, "PENDING (Resources)")
else:
    (home / f"{{words[-1]}}.pending").unlink(missing_ok=True)
    (home / f"{{words[-1]}}.cancelled").touch()
    path = home / f"{{words[-1]}}.pid"
    if path.exists() and alive(int(path.read_text())):
        os.killpg(int(path.read_text()), signal.SIGTERM)
"""


def install(folder):
    """The commands; the folder also keeps what they know of their jobs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("sbatch", "squeue", "scancel"):
        path = folder / name
        rules = inspect.getsource(parsed)
        path.write_text(PROGRAM.format(python=sys.executable, home=str(folder), parsed=rules))
        path.chmod(0o755)
    return folder
