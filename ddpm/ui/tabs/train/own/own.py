"""Pictures of one's own as a data set: of one browser window, in the server's memory alone, and gone with it."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
import time
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch
from PIL import Image

from ddpm.data import Dataset, counted, load_zip, resize
from ddpm.picture_zip import Bounds
from ddpm.reading import natural, printable
from ddpm.system.threads import apart
from ddpm.ui.components import layout
from ddpm.ui.components.streaming import window
from ddpm.ui.server import limits, protocol
from ddpm.ui.server.cache import LRUCache

OWN, LABEL = "own", "Your own pictures"  # the choice of data, and what it is called
NAME = "own pictures"  # what the data set is called: no name that `load_dataset` would find anything under
SIZE = 32
LEAST, MOST_CLASSES, LONGEST_NAME = 4, 50, 40  # pictures; classes; characters of a class's name
BOUNDS = Bounds(
    2000, picture_bytes=64_000_000, unpacked_bytes=256_000_000, picture_pixels=25_000_000, pixels=250_000_000
)
KEPT_BYTES = 64_000_000  # of all windows together
SHOWN, SHOWN_CLASSES, SHOWN_ROWS = 10, 8, 4  # pictures of a class in the preview, and classes; rows without classes
DRAWINGS = 400  # of a window, at most: a question of the page's is of 2 MB
NONE_YET = "There are no pictures of yours yet: choose a zip of them, draw some, or choose other data."


class OwnPictures:
    """The data set that each browser window has brought, the latest ones."""

    def __init__(self) -> None:
        self._kept = LRUCache(KEPT_BYTES)

    def of(self, session: str) -> Dataset:
        """What a window has brought.  Raises ValueError if that is nothing, or is no longer here."""
        data = self._kept.get(session)
        if data is None:
            raise ValueError(NONE_YET)
        return data

    def keep(self, session: str, data: Dataset) -> None:
        self._kept.put(session, data, data.images.numel())

    def forget(self, session: str) -> None:
        """A window is closed, or reloaded."""
        self._kept.drop(session)

    async def open(self, path: Any, request: gr.Request) -> dict[str, Any]:
        """A zip that a window has sent: what the page shows of it, or {error}, and then what was there stays."""
        try:
            if not isinstance(path, str):
                raise ValueError("That is no file. Choose a zip of pictures.")
            data = await apart(of_zip, path)
        except ValueError as error:
            return {"error": sentence(str(error), Path(str(path)).name)}
        self.keep(window(request), data)
        return preview(data)

    def draw(self, drawn: Any, request: gr.Request) -> dict[str, Any]:
        """Drawings that a window has sent, as `open` takes a zip: {drawings: [[class, pixels], ...], shifted}."""
        try:
            data = of_drawings(protocol.fields(drawn))
        except ValueError as error:
            return {"error": sentence(str(error))}
        self.keep(window(request), data)
        return preview(data)


def of_drawings(drawn: dict[str, Any]) -> Dataset:
    """Drawings as a data set; all without a class, or each with one.  shifted: each also a pixel to every side.

    Raises ValueError in one sentence.
    """
    drawings = drawn.get("drawings")
    if not isinstance(drawings, list) or len(drawings) > DRAWINGS:
        raise ValueError(f"at most {DRAWINGS} drawings, please")
    unclear = "those are no drawings of this page"
    if not all(isinstance(each, list) and len(each) == 2 and isinstance(each[0], str) for each in drawings):
        raise ValueError(unclear)
    names = [printable(name.strip()) for name, _ in drawings]
    if "" in names and set(names) != {""}:
        raise ValueError("some drawings have a class and some have none; give all of them one, or none")
    pixels = [protocol.pixels(text, (1, SIZE, SIZE), unclear) for _, text in drawings]
    if len(pixels) < LEAST:
        raise ValueError(f"{len(pixels)} drawing{'s' * (len(pixels) != 1)}; at least {LEAST}, please")
    classes = tuple(sorted({*names} - {""}, key=natural))
    labels = torch.tensor([classes.index(name) for name in names]) if classes else None
    images = torch.from_numpy(np.stack(pixels))
    if drawn.get("shifted") is True:  # the drawings themselves come first
        ways = sorted(itertools.product((-1, 0, 1), repeat=2), key=lambda way: way != (0, 0))
        images = torch.cat([images.roll(way, (2, 3)) for way in ways])
        labels = None if labels is None else labels.repeat(len(ways))
    return checked(Dataset(f"{NAME}, drawn here", images, labels, classes), "that set of drawings")


async def pack(drawn: Any) -> dict[str, Any]:
    """Drawings of the page, as `draw` takes them, as a zip that `open` takes: {name, data: base64}.

    Raises ValueError in one sentence.
    """
    try:
        data = await apart(zip_of, of_drawings(protocol.fields(drawn) | {"shifted": False}))
    except ValueError as error:
        raise ValueError(sentence(str(error))) from None
    return {"name": f"{NAME.replace(' ', '-')}.zip", "data": base64.b64encode(data).decode()}


def zip_of(data: Dataset) -> bytes:
    """A zip of a grey data set's pictures as PNG, a folder for each class, from which `load_zip` reads the same ones.

    Raises ValueError where the classes' names are none that folders can have.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, pictures in by_class(data).items():
            for i, (pixels,) in enumerate(pictures):
                png = io.BytesIO()
                Image.fromarray(pixels.numpy()).save(png, "PNG")
                file.writestr(f"{name}/{i + 1:04}.png".lstrip("/"), png.getvalue())
    before, after = by_class(data), by_class(load_zip(buffer, NAME, data.name, data.images.shape[-1]))
    if before.keys() != after.keys() or not all(before[name].equal(after[name]) for name in before):
        raise ValueError("a folder cannot have the name of one of these classes; give it one of letters and numbers")
    return buffer.getvalue()


def by_class(data: Dataset) -> dict[str, torch.Tensor]:
    """The pictures of each class by its name; all under "" where there are none."""
    if data.labels is None:
        return {"": data.images}
    return {name: data.images[data.labels == i] for i, name in enumerate(data.class_names)}


def of_zip(path: str) -> Dataset:
    """A zip that a page has sent as a data set, if it can be trained on; the file is removed, whatever comes of it.

    Raises ValueError in one sentence.
    """
    file = Path(path)
    called = printable(file.name)[-60:]
    try:
        return checked(load_zip(file, called, f"{NAME}, {called}", SIZE, bounds=BOUNDS), called)
    finally:
        file.unlink(missing_ok=True)


def checked(data: Dataset, called: str) -> Dataset:
    """Raise ValueError unless a training on the page makes sense of it."""
    n = len(data.images)
    if n < LEAST:
        raise ValueError(f"{called} holds {n} picture{'s' * (n != 1)}; at least {LEAST}, please")
    if data.num_classes > MOST_CLASSES:
        many = f"{called} holds {data.num_classes:,} classes, of at most {MOST_CLASSES}"
        raise ValueError(f"{many}; have fewer, or none, with all pictures in one folder")
    if long := next((name for name in data.class_names if len(name) > LONGEST_NAME), None):
        start = printable(long[:LONGEST_NAME])
        raise ValueError(f"a class of {called} has a name longer than {LONGEST_NAME} letters, {start}…; shorten it")
    return dataclasses.replace(data, class_names=tuple(map(printable, data.class_names)))


def sentence(text: str, name: str = "") -> str:
    """What was raised, as a sentence of the page's.  name: of a file, which stays as it is written."""
    start = text[:1] if name and text.startswith(name) else text[:1].upper()
    return start + text[1:].rstrip(".") + "."


def suited(data: Dataset, shape: tuple[int, int, int]) -> Dataset:
    """The same pictures, in the colours and the size that a network draws.  shape: (C, S, S), C = 1 or 3."""
    images, (channels, size, _) = data.images, shape
    if images.shape[1] > channels:  # as PIL makes grey of colour: ITU-R BT.601
        weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
        images = (images * weights).sum(1, keepdim=True).round().to(torch.uint8)
    images = images.expand(-1, channels, -1, -1)
    if images.shape[-1] != size:
        pixels = images.permute(0, 2, 3, 1).squeeze(-1).numpy()
        images = resize(pixels, size)
    return dataclasses.replace(data, images=images.contiguous())


def preview(data: Dataset) -> dict[str, Any]:
    """What the page shows of a data set before it is trained on: the first pictures of each of the first classes."""
    names = data.class_names[:SHOWN_CLASSES]
    if data.labels is None:
        rows = list(torch.arange(len(data.images))[: SHOWN * SHOWN_ROWS].split(SHOWN))
    else:
        rows = [torch.nonzero(data.labels == i).flatten()[:SHOWN] for i in range(len(names))]
    columns = max(map(len, rows))
    pictures = torch.zeros(len(rows) * columns, *data.images.shape[1:], dtype=torch.uint8)
    for i, row in enumerate(rows):
        pictures[i * columns : i * columns + len(row)] = data.images[row]
    shape = {"n": len(pictures), "columns": columns, "size": pictures.shape[-1], "channels": pictures.shape[1]}
    shown = protocol.b64(pictures.permute(0, 2, 3, 1).numpy())
    n, count = len(data.images), data.num_classes
    brief = f"{n:,} pictures, {count} class{'es' * (count != 1)}." if count else f"{n:,} pictures, no classes."
    said = {"pictures": shown, "classes": list(names), "brief": brief, "told": told(data)}
    return shape | said | {"at": time.monotonic_ns()}  # a page hears of values that differ, and the same may be brought


def told(data: Dataset) -> str:
    """A data set in one sentence."""
    n, channels, size, _ = data.images.shape
    what = f"{n:,} pictures, taken as {size} x {size} in {'grey' if channels == 1 else 'colour'}"
    if data.labels is None:
        return f"{what}, no classes."
    named = [f"{name} ({count})" for name, count in counted(data.class_names, data.labels)]
    more = f" and {len(named) - SHOWN_CLASSES} more" if len(named) > SHOWN_CLASSES else ""
    return f"{what}, {len(named)} class{'es' * (len(named) != 1)}: {', '.join(named[:SHOWN_CLASSES])}{more}."


def controls() -> tuple[gr.HTML, gr.UploadButton, gr.Button]:
    """What is shown where the data are one's own: how to bring them, and what was brought."""
    with gr.Row(elem_id="train-own", elem_classes="pair"):
        zip_button = gr.UploadButton("Choose a zip", file_types=[".zip"], elem_id="train-zip", size="lg")
        draw_button = gr.Button("Draw them", elem_id="train-draw")
    view = layout.scripted(
        Path(__file__).with_name("own.js"),
        "own",
        constants={
            "own": OWN,
            "label": LABEL,
            "mb": limits.current().upload_mb,
            "pictures": BOUNDS.pictures,
            "size": SIZE,
            "drawings": DRAWINGS,
        },
        html_template='<div class="own"></div>',
        server_functions=[protocol.in_words(pack)],
        elem_id="train-brought",
    )
    return view, zip_button, draw_button
