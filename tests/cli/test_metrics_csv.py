"""metrics.csv of a run that goes on, after a spreadsheet has had it."""

from __future__ import annotations

import pytest
from helpers.runs import FILES, resume, rows


def saved_by(text, how):
    """The bytes of metrics.csv as some spreadsheet writes them."""
    return {
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "crlf": text.replace("\n", "\r\n").encode(),
        "tabs": text.replace(",", "\t").encode(),
        "semicolons": text.replace(",", ";").encode(),
        "decimal commas": b"\xef\xbb\xbf" + text.replace(",", ";").replace(".", ",").replace("\n", "\r\n").encode(),
        "utf-16": text.replace(",", "\t").replace("\n", "\r\n").encode("utf-16"),
        "quotes": ("\n".join('"' + line.replace(",", '","') + '"' for line in text.splitlines()) + "\n").encode(),
        "empty rows": (text + ",,,,,,\n\n").encode(),
        "a column more": text.replace("\n", ",\n").encode(),
        "sorted": "\n".join([text.splitlines()[0], *text.splitlines()[:0:-1]]).encode(),
    }[how]


WAYS = "bom crlf tabs semicolons", "utf-16 quotes sorted", "decimal commas", "empty rows", "a column more"


@pytest.mark.parametrize("how", [*WAYS[0].split(), *WAYS[1].split(), *WAYS[2:]])
def test_a_curve_that_a_spreadsheet_saved_is_read(train, pictures, tmp_path, how):
    out = tmp_path / "run"
    assert train("--steps", 4, "--dataset", pictures, "--out", out).code == 0
    before = rows(out)
    text = (out / "metrics.csv").read_text()
    (out / "metrics.csv").write_bytes(saved_by(text, how))
    result = resume(train, out, steps=6)
    assert result.code == 0 and result.err.count("\n") == 1
    assert len(before) == 2 and rows(out)[:2] == before and len(rows(out)) == 3
    assert (out / "metrics.csv").read_bytes().startswith(text.encode())
    assert {p.name for p in out.iterdir()} == FILES


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"\x89PNG\r\n\x1a\n\x00",
        b"PK\x03\x04 a workbook",
        b"sep=;\nstep;images\n",
        b"step,images,seconds,lr,loss,loss_smooth\n2,16,1,1,1,1\n",
        b"step,images,seconds,lr,loss,loss_smooth,held_out_loss\n2,16,1,01. Feb,1,1,\n",
        b"step,images,seconds,lr,loss,loss_smooth,held_out_loss\n2,16,1,1,nan,1,\n",
        b"step,images,seconds,lr,loss,loss_smooth,held_out_loss\n2.5,16,1,1,1,1,\n",
        b"step,images,seconds,lr,loss,loss_smooth,held_out_loss\n2,16\n",
    ],
)
def test_a_curve_that_cannot_be_read_is_kept_aside_and_begun_anew(train, run_of, content):
    (run_of / "metrics.csv").write_bytes(content)
    (run_of / "metrics-kept-1.csv").write_bytes(b"from an earlier time")
    result = resume(train, run_of)
    assert result.code == 0 and "kept as metrics-kept-2.csv" in result.err and "begins anew" in result.err
    assert (run_of / "metrics-kept-2.csv").read_bytes() == content
    assert (run_of / "metrics-kept-1.csv").read_bytes() == b"from an earlier time"
    assert [row["step"] for row in rows(run_of)] == ["4"]
