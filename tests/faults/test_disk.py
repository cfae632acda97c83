"""`train --out` on a disk that is full or may not be written: one clear line, and what was there stays whole."""

from __future__ import annotations

import pytest
from helpers.served import small_disk  # noqa: F401 (a fixture)

from ddpm import load_checkpoint
from ddpm.cli import main

pytestmark = pytest.mark.slow


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("sentence", ["No space left on device", "Read-only file system"])
def test_train_says_so_in_one_line_and_leaves_what_was_there(small_disk, tiny_preset, capsys, sentence):  # noqa: F811
    disk = small_disk.folder
    assert main(["train", "--steps", "2", "--out", str(disk / "run")]) == 0
    before = contents(disk)
    if sentence.startswith("Read"):
        assert small_disk("-o", "remount,ro").returncode == 0
    else:
        with (disk / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match=sentence):
            while True:
                ballast.write(bytes(1000))
    for options in (["--out", str(disk / "run"), "--resume"], ["--out", str(disk / "new")]):
        capsys.readouterr()
        assert main(["train", "--steps", "4", *options]) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith("error: ") and sentence in said
    assert small_disk("-o", "remount,rw,size=64m").returncode == 0
    (disk / "ballast").unlink(missing_ok=True)
    assert contents(disk) == before
    load_checkpoint(disk / "run")
    assert main(["train", "--steps", "4", "--out", str(disk / "run"), "--resume"]) == 0
