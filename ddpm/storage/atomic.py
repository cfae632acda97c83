"""Files that appear whole or not at all, and the lock of a folder.

A file is written beside its place, synced, then renamed over it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: there a folder is for one process at a time
    fcntl = None  # type: ignore[assignment]


def readable(value: Any) -> Any:
    r"""JSON with text that every reader can decode: a byte of a path that is not UTF-8 is spelled out, as \udcff."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {readable(name): readable(each) for name, each in value.items()}
    return [readable(each) for each in value] if isinstance(value, (list, tuple)) else value


def check_writable(path: Path, option: str = "") -> None:
    """Raise ValueError, with one sentence, if `write_atomic` could not write this file: to be asked before the work.

    It tries what write_atomic will do, and leaves nothing.  option: what the sentence begins with.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{option}{path} is not a file")
    if not path.parent.is_dir():
        raise ValueError(f"{option}there is no folder {path.parent}")
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    except OSError as error:
        raise ValueError(f"{option}{path} cannot be written ({error.strerror})") from error
    os.close(handle)
    os.unlink(temporary)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that whoever reads it, after a crash too, finds the old one or the new one, never a part."""
    write_together({path: data})


def write_together(files: dict[Path, bytes]) -> None:
    """`write_atomic` for files that belong together: all are on the disk before the first takes its place, in order."""
    waiting: list[tuple[str, Path]] = []
    try:
        for path, data in files.items():
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
            waiting.append((temporary, path))
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
        while waiting:
            os.replace(*waiting[0])
            waiting.pop(0)
    except BaseException:
        for temporary, _ in waiting:
            os.unlink(temporary)
        raise


def lock(folder: Path, wait: bool = False) -> int | None:
    """Take the lock of a folder, which whoever closes what this returns, or ends, lets go.

    Returns None if there is no such folder or, unless it waits, if somebody else has the lock.
    """
    if not folder.is_dir():
        return None
    if fcntl is None:
        return os.open(os.devnull, os.O_RDONLY)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:  # a file system without locks: there, too, a folder is for one process at a time
        pass
    return handle


def remove_unfinished(folder: Path, *names: str) -> None:
    """What writers of these files have left that did not live to rename it.  Nobody may be writing them now."""
    for name in names:
        for path in folder.glob(f"{name}*.tmp"):
            path.unlink(missing_ok=True)
