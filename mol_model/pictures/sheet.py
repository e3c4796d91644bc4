"""Pictures of one size side by side on a sheet, each under its words.

One pair of axes holds the whole sheet: matplotlib spends milliseconds on the ticks and the layout
of every pair of axes even where they are hidden, which was seconds for the figures of one fold.
"""

import textwrap

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

DPI = 100
PICTURE_INCHES = 1.5
WORDS_INCHES = 0.2
GAP_INCHES = 0.06
LEGEND_INCHES = 0.9
TITLE_LINE_INCHES = 0.2
CHARACTERS_PER_INCH = 13
"""Of a title in 10 points: longer titles go on in a second line."""

Array = NDArray[np.floating]


def coloured(values: Array, colour_map: str, peak: float) -> NDArray[np.uint8]:
    """Colour `[height, width, 3]` of values `[height, width]` from 0 to `peak`."""
    shares = np.clip(np.asarray(values, dtype=np.float64) / peak, 0.0, 1.0)
    picture: NDArray[np.uint8] = matplotlib.colormaps[colour_map](shares, bytes=True)[..., :3]
    return picture


def grey(frame: Array) -> NDArray[np.uint8]:
    """A frame of grey values from 0 to 255 as a picture `[height, width, 3]`."""
    return coloured(frame, "gray", 255.0)


class Sheet:
    """Pictures in rows and columns.

    Args:
        rows: Of pictures.
        columns: Of pictures.
        side: Pixels of the largest picture; smaller ones stand in the middle of their place.
        legend: Leave room for a colour bar at the right.
    """

    def __init__(self, rows: int, columns: int, side: int, *, legend: bool = False) -> None:
        self.side = side
        self.band = round(side * WORDS_INCHES / PICTURE_INCHES)
        self.gap = round(side * GAP_INCHES / PICTURE_INCHES)
        self.rows, self.columns = rows, columns
        extent = (rows * (side + self.band), columns * (side + self.gap), 3)
        self.canvas = np.full(extent, 255, dtype=np.uint8)
        self.words: list[tuple[float, float, str]] = []
        self.points: list[tuple[Array, str]] = []
        self.legend_inches = LEGEND_INCHES if legend else 0.0

    def place(self, row: int, column: int, words: str, picture: NDArray[np.uint8]) -> None:
        """Put a picture `[height, width, 3]` and its words into a place."""
        height, width = picture.shape[:2]
        x, y = self._corner(row, column)
        self.words.append((x + self.side / 2, y - 0.2 * self.band, words))
        top, left = y + (self.side - height) // 2, x + (self.side - width) // 2
        self.canvas[top : top + height, left : left + width] = picture

    def mark(self, row: int, column: int, points: Array, colour: str) -> None:
        """Dots `[n, 2]` over a picture, in its pixels `(x, y)`."""
        self.points.append((points + self._corner(row, column), colour))

    def draw(self, title: str, scale: tuple[str, float, str] | None = None) -> Figure:
        """The sheet under its title.

        Args:
            title: Above all.
            scale: Colour map, largest value and words of the colour bar, beside the lower rows.
        """
        width = self.columns * (PICTURE_INCHES + GAP_INCHES)
        height = self.rows * (PICTURE_INCHES + WORDS_INCHES)
        total = width + self.legend_inches
        lines = textwrap.wrap(title, max(int(total * CHARACTERS_PER_INCH), 1))
        above = 0.1 + TITLE_LINE_INCHES * len(lines)
        figure = Figure(figsize=(total, height + above), dpi=DPI)
        FigureCanvasAgg(figure)
        share = height / (height + above)
        axis = figure.add_axes((0.0, 0.0, width / total, share))
        self._fill(axis)
        if scale is not None:
            colour_map, peak, label = scale
            bar = figure.add_axes((width / total, 0.05 * share, 0.18 / total, 0.3 * share))
            colours = ScalarMappable(Normalize(0.0, peak), colour_map)
            figure.colorbar(colours, cax=bar, label=label)
        figure.text(0.5, 1 - 0.05 / (height + above), "\n".join(lines), ha="center", va="top")
        return figure

    def _fill(self, axis: Axes) -> None:
        axis.set_axis_off()
        axis.imshow(self.canvas, aspect="auto")
        for x, y, words in self.words:
            axis.text(x, y, words, ha="center", va="bottom", fontsize=8)
        for points, colour in self.points:
            axis.scatter(points[:, 0], points[:, 1], s=3, c=colour, linewidths=0)
        rows, columns = self.canvas.shape[:2]
        axis.set_xlim(-0.5, columns - 0.5)
        axis.set_ylim(rows - 0.5, -0.5)

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        return column * (self.side + self.gap), row * (self.side + self.band) + self.band
