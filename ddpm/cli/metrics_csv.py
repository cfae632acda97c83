"""metrics.csv, a row every so many steps of a training run: written, and read back, from a spreadsheet's hands too."""

from __future__ import annotations

import codecs
import csv
import io
import math
from pathlib import Path
from typing import Any

COLUMNS = ("step", "images", "seconds", "lr", "loss", "loss_smooth", "held_out_loss")


def table(rows: list[dict[str, Any]]) -> str:
    """The text of metrics.csv."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, in the order of their steps.

    A spreadsheet that saved it may have put in a byte order mark, or made it UTF-16; semicolons or tabs between the
    numbers, and then commas in them; other ends of lines, empty rows, further columns, quotes.  Raises ValueError if
    what is left is not such a table.
    """
    raw = path.read_bytes()
    text = raw.decode("utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    between = max(",;\t", key=text.partition("\n")[0].count)
    try:
        header, *lines = [*csv.reader(io.StringIO(text, newline=""), delimiter=between)] or [[]]
    except csv.Error as error:
        raise ValueError(str(error)) from error
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise ValueError(f"it has no column {missing[0]}")
    rows = [_row(dict(zip(header, line, strict=False)), between) for line in lines if any(map(str.strip, line))]
    return sorted(rows, key=lambda row: int(row["step"]))


def _row(cells: dict[str, str], between: str) -> dict[str, str]:
    """The columns of one row, each a number.  Raises ValueError."""
    row = {name: cells.get(name, "").strip() for name in COLUMNS}
    if between != ",":
        row = {name: text.replace(",", ".") for name, text in row.items()}
    for name, text in row.items():
        if not math.isfinite(float(text or ("0" if name == "held_out_loss" else "nan"))):
            raise ValueError(f"{name} is {text!r} in one of its rows")
    int(row["step"]), int(row["images"])
    return row
