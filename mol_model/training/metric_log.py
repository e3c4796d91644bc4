"""Local record of a training run: one JSON object per logged step, and TensorBoard."""

import json
import operator
from pathlib import Path
from types import TracebackType

from mol_model.config.run_layout import EVENTS_NAME, LOG_NAME
from mol_pipeline.contract.errors import TrainingError
from mol_pipeline.contract.files import write_atomically


def read_metric_log(directory: Path) -> list[dict[str, float]]:
    """Lines of a fold's `metrics.jsonl`; none if there is no such file.

    A last line without its end was being written when the process was killed, or still is: it
    is left out.

    Raises:
        TrainingError: If another line is no logged step.
    """
    path = directory / LOG_NAME
    try:
        whole = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror})") from error
    lines = []
    for number, line in enumerate(whole, start=1):
        try:
            values = json.loads(line)
            values["step"] = operator.index(values["step"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            # A full disk or a machine that went down leaves a last line that is not whole.
            if number == len(whole):
                break
            raise TrainingError(
                f"{path}: line {number} is no logged step ({error}); another program wrote there, "
                f"or the disk is damaged: remove {directory} and run again to train the fold anew"
            ) from error
        lines.append(values)
    return lines


class MetricLog:
    """Writes `metrics.jsonl` and TensorBoard events of one fold.

    Args:
        directory: Of the fold.
        keep_steps: A continued run keeps its lines up to this step; later ones are
            dropped, because those steps are done again.
        write: Whether anything is written; of several processes only the first writes.

    Raises:
        TrainingError: If there is a log that is damaged before its last line.
    """

    def __init__(self, directory: Path, *, keep_steps: int = 0, write: bool = True) -> None:
        self._write = write
        if not write:
            return
        from torch.utils.tensorboard import SummaryWriter  # here: who reads a log needs no torch

        self.path = directory / LOG_NAME
        kept = [line for line in read_metric_log(directory) if line["step"] <= keep_steps]
        # By rename: a second kill must not take the lines that the first one left.
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = self.path.open("a", encoding="utf-8")
        self._writer = SummaryWriter(str(directory / EVENTS_NAME), purge_step=keep_steps + 1)

    def __enter__(self) -> "MetricLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._write:
            self._file.close()
            self._writer.close()

    def write(
        self, step: int, values: dict[str, float], clips_per_second: float, waiting: float
    ) -> None:
        """Log one step: its losses, the rate, and the share of time spent waiting for clips."""
        if not self._write:
            return
        line = {
            "step": step,
            **values,
            "clips_per_second": round(clips_per_second, 2),
            "waiting": round(waiting, 4),
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
