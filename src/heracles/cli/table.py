"""Columns of plain text, the same on a terminal and in a pipe."""

from collections.abc import Sequence

from heracles.cli.usage import escaped


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The rows under their head, each column as wide as its widest cell; numbers stand to the right."""
    cells = [[escaped(str(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [bool(rows) and all(isinstance(row[index], int) for row in rows) for index in range(len(head))]
    return "\n".join(_line(row, widths, right) for row in cells)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = zip(row, widths, right, strict=True)
    return "  ".join(cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in cells).rstrip()
