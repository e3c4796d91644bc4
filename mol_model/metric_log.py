"""Local record of a training run: one JSON object per logged step, and TensorBoard."""

import json
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter


class MetricLog:
    """Writes `metrics.jsonl` and TensorBoard events of one fold.

    Args:
        directory: Of the fold.
        keep_steps: A continued run keeps its lines up to this step; later ones are
            dropped, because those steps are done again.
        write: Whether anything is written; of several processes only the first writes.
    """

    def __init__(self, directory: Path, *, keep_steps: int = 0, write: bool = True) -> None:
        self._write = write
        if not write:
            return
        self.path = directory / "metrics.jsonl"
        kept = []
        if self.path.is_file() and keep_steps:
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [
                line
                for line in lines
                if line.endswith("\n") and json.loads(line)["step"] <= keep_steps
            ]
        self._file = self.path.open("w", encoding="utf-8")
        self._file.writelines(kept)
        self._writer = SummaryWriter(str(directory / "tensorboard"), purge_step=keep_steps + 1)

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
