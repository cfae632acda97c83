"""Pictures of one's own in Train: a zip becomes a data set of a window, or one clear sentence."""

import asyncio
import base64
import io
import time
import zipfile

import numpy as np
import pytest
import torch
from helpers.pages import Window, alone, handler
from helpers.training_runs import finish, quick  # noqa: F401 (quick is a fixture)
from PIL import Image

from ddpm.data import Dataset
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.train import request, run_store
from ddpm.ui.tabs.train import tab as train
from ddpm.ui.tabs.train.own import own

ME, OTHER = Window("me"), Window("other")
ASKED = ("steps", 1, *request.more_of(request.PRESETS["fast"]))


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def noisy(seed=0, size=8, colour=False):
    return png(np.random.default_rng(seed).integers(0, 256, (size, size, 3)[: 2 + colour], dtype=np.uint8))


def sent(tmp_path, files, name="pets.zip"):
    """The path of a zip as the page's upload leaves it."""
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as file:
        for each, data in files:
            file.writestr(each, data)
    return str(tmp_path / name)


PETS = [(f"{name}/{i}.png", noisy(i)) for name in ("cat", "dog") for i in range(3)]


def opened(pictures, path, session=ME):
    return asyncio.run(pictures.open(path, session))


@pytest.fixture
def brought(tmp_path):
    pictures = own.OwnPictures()
    assert "error" not in opened(pictures, sent(tmp_path, PETS))
    return pictures


def test_a_zip_is_shown_a_class_a_row_and_leaves_the_disk(tmp_path):
    pictures = own.OwnPictures()
    path = sent(tmp_path, [*PETS, ("dog/9.png", noisy(9))])
    packet = opened(pictures, path)
    assert (packet["n"], packet["columns"], packet["size"], packet["channels"]) == (8, 4, 32, 1)
    assert packet["classes"] == ["cat", "dog"]
    assert packet["brief"] == "7 pictures, 2 classes."
    assert packet["told"] == "7 pictures, taken as 32 x 32 in grey, 2 classes: cat (3), dog (4)."
    data = pictures.of("me")
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1, 1] and not list(tmp_path.iterdir())


def test_pictures_without_classes_are_shown_in_rows_of_ten(tmp_path):
    packet = opened(own.OwnPictures(), sent(tmp_path, [(f"{i}.png", noisy(i, colour=True)) for i in range(50)]))
    assert (packet["n"], packet["columns"], packet["classes"]) == (40, 10, [])
    assert packet["told"] == "50 pictures, taken as 32 x 32 in colour, no classes."


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "pets.zip holds no images"),
        ([("1.png", noisy())], "pets.zip holds 1 picture; at least 4, please."),
        ([(f"{i}.png", png(np.full((9, 9), 7, np.uint8))) for i in range(5)], "single colour"),
        (
            [(f"{i}/1.png", noisy(i)) for i in range(1000)],
            "holds 1,000 classes, of at most 50",
        ),
        ([(f"{i}.png", noisy(0)) for i in range(2001)], "holds 2,001 pictures, of at most 2,000"),
        ([*PETS, ("loose.png", noisy())], "1 loose picture, and pictures in 2 folders: cat, dog"),
        ([(f"{'x' * 41}/{i}.png", noisy(i)) for i in range(5)], "longer than 40 letters"),
        ([("1.png", bytes(70_000_000))], "is 70 MB unpacked, of at most 64 MB"),
        ([("1.png", png(np.zeros((6000, 6000), np.uint8)))], "6000 x 6000 pixels, of at most 25,000,000"),
        ([("1.png", noisy()[:-30]), *PETS[:0]], "cannot be read as an image"),
    ],
)
def test_a_fault_is_one_sentence_and_loses_nothing(tmp_path, brought, files, words):
    before = brought.of("me")
    packet = opened(brought, sent(tmp_path, files))
    assert list(packet) == ["error"] and words in packet["error"]
    assert packet["error"].endswith(".") and packet["error"].isprintable() and len(packet["error"]) < 300
    assert brought.of("me") is before and not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\3\4" + bytes(90)])
def test_what_is_no_zip(tmp_path, brought, content):
    (tmp_path / "x.zip").write_bytes(content)
    assert "cannot be read as a zip" in opened(brought, str(tmp_path / "x.zip"))["error"]
    assert "no file" in opened(brought, None)["error"]


def test_pictures_are_of_their_window_and_go_with_it(brought):
    with pytest.raises(ValueError, match="no pictures of yours yet"):
        brought.of("other")
    brought.forget("me")
    brought.forget("never seen")
    with pytest.raises(ValueError, match="no pictures of yours yet"):
        brought.of("me")


def test_the_oldest_go_when_there_are_too_many(monkeypatch, tmp_path):
    monkeypatch.setattr(own, "KEPT_BYTES", 15_000)
    pictures = own.OwnPictures()
    for session in ("a", "b", "c"):
        opened(pictures, sent(tmp_path, PETS), Window(session))  # 6 kB each
    assert pictures.of("c") and pictures.of("b")
    with pytest.raises(ValueError):
        pictures.of("a")


def test_pictures_are_made_to_fit_what_a_network_draws():
    grey = torch.arange(2 * 32 * 32).reshape(2, 1, 32, 32).to(torch.uint8)
    colour = torch.stack([torch.full((32, 32), v, dtype=torch.uint8) for v in (100, 200, 50)])[None]
    assert torch.equal(own.suited(Dataset("x", grey, None), (1, 32, 32)).images, grey)
    assert own.suited(Dataset("x", grey, None), (3, 16, 16)).images.shape == (2, 3, 16, 16)
    assert own.suited(Dataset("x", colour, None), (1, 32, 32)).images.unique().tolist() == [153]  # .3 R + .59 G + .11 B
    assert torch.equal(own.suited(Dataset("x", colour, None), (3, 16, 16)).images, colour[..., :16, :16])


def data(channels=1, n=6):
    images = torch.randint(0, 256, (n, channels, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Dataset("own pictures, pets.zip", images, torch.arange(n) % 2, ("cat", "dog"))


def test_a_run_from_nothing_on_them():
    run = finish(request.check("fast", data(), *ASKED))
    assert run.job.error is None and run.of_a_window and run.config.model.num_classes == 2
    assert run.info()["class_names"] == ["cat", "dog"] and "own pictures, pets.zip" in run.label
    assert not run.classifiable and run.packet()["labels"][:3] == [0, 1, 0]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["from mnist", "from faces", "from mnist-latent", "from mnist-tutorial"])
def test_a_run_that_continues_from_shipped_weights(preset):
    run = request.check(preset, data(3 if preset == "from mnist" else 1), "steps", 1)
    before = request.begun_with(preset)
    assert run.config.schedule == before.config.schedule
    model = run.config.model
    assert model.num_classes == (0 if preset == "from mnist-tutorial" else 2) and not model.attributes
    finish(run)
    assert run.job.error is None and run.begun_from
    ours, theirs = run.reached.live_model().state_dict(), before.model.state_dict()
    kept = [name for name in ours if not name.startswith("y_embed.")]
    assert all((ours[name].cpu() - theirs[name].cpu()).abs().mean() < 0.02 for name in kept)


def test_what_weights_to_continue_from_do_not_take():
    from_mnist = request.more_of(request.known()["from mnist"])
    wider = [*from_mnist[:6], 64, from_mnist[7]]
    with pytest.raises(ValueError, match="Width are those of the weights"):
        request.check("from mnist", data(), "steps", 1, *wider)
    with pytest.raises(
        ValueError, match=r"^Data: faces draws pictures that are 16 x 16, in colour; .*bundled.*grey\.$"
    ):
        request.check("from faces", "bundled", "steps", 1)
    assert request.check("from mnist", "bundled", "steps", 1).config.model.num_classes == 10


def test_they_are_never_written_and_go_when_the_window_has_gone(tmp_path, monkeypatch):
    runs = run_store.Runs(Engine(), tmp_path)
    run = request.check("fast", data(), *ASKED)
    runs.start(run)
    runs.looks(run, "me")
    run.job.finished.result(timeout=60)
    runs.keep()
    runs.engine.close()
    runs.save()
    assert not list(tmp_path.iterdir())
    run.seen = time.monotonic() - 2 * run_store.IDLE_AFTER
    runs.sweep()
    assert runs.get(run.id) is run, "its window is open"
    runs.leave("me")
    runs.sweep()
    assert runs.get(run.id) is run, "a reload looks again"
    run.seen -= 2 * run_store.IDLE_AFTER
    runs.sweep()
    assert runs.get(run.id) is None


def test_start_with_ones_own(registry, tmp_path, monkeypatch):
    demo, _, _ = alone(train, registry)
    start = handler(demo, "train-start")
    open_ = next(f.fn for f in demo.fns.values() if f.name == "open")
    left = next(f.fn for f in demo.fns.values() if f.name == "left")

    async def scenario():
        async def begin(session):
            return [answer[0] async for answer in start(session, "fast", own.OWN, *ASKED, None)][-1]

        assert "no pictures of yours yet" in (await begin(ME))["error"]
        await open_(sent(tmp_path, PETS), ME)
        packet = await begin(ME)
        assert packet["done"] and not packet["error"] and "own pictures, pets.zip" in packet["label"]
        assert "no pictures of yours yet" in (await begin(OTHER))["error"]
        left(ME)
        assert "no pictures of yours yet" in (await begin(ME))["error"]

    asyncio.run(scenario())


def drawings(*names, value=9):
    return [[name, protocol.b64(np.full((32, 32), value + i, np.uint8))] for i, name in enumerate(names)]


def test_drawings_are_a_data_set_too():
    pictures = own.OwnPictures()
    packet = pictures.draw({"drawings": drawings("b", "a10", "b", " a2 "), "shifted": False}, ME)
    assert packet["told"] == "4 pictures, taken as 32 x 32 in grey, 3 classes: a2 (1), a10 (1), b (2)."
    data = pictures.of("me")
    assert data.labels.tolist() == [2, 1, 2, 0] and data.images[:, 0, 0, 0].tolist() == [9, 10, 11, 12]
    assert pictures.draw({"drawings": drawings("", "", "", "")}, ME)["told"].endswith("no classes.")
    assert pictures.of("me").labels is None


def packed(*names, seed=0):
    """Noisy drawings of these classes, and the answer to a page that would have them as a zip."""
    noise = np.random.default_rng(seed).integers(0, 256, (len(names), 32, 32), dtype=np.uint8)
    drawn = {"drawings": [[name, protocol.b64(one)] for name, one in zip(names, noise, strict=True)], "shifted": True}
    return drawn, asyncio.run(protocol.in_words(own.pack)(drawn))


@pytest.mark.parametrize("names", ["b a10 b a2 b ä", "....", "1 2 1 2", "train a train a", "x x x x"])
def test_drawings_saved_as_a_zip_come_back_to_the_pixel(tmp_path, names):
    drawn, answer = packed(*(names.split() if names.strip(".") else [""] * 4))
    (tmp_path / answer["name"]).write_bytes(base64.b64decode(answer["data"]))
    pictures = own.OwnPictures()
    shown = opened(pictures, str(tmp_path / answer["name"]))
    assert shown["size"] == 32 and shown != own.preview(pictures.of("me")), "brought twice, it is shown twice"
    before, after = own.of_drawings(drawn | {"shifted": False}), pictures.of("me")
    assert after.class_names == before.class_names
    if before.labels is None:
        assert after.labels is None and torch.equal(after.images, before.images)
        return
    for i in range(len(before.class_names)):
        assert torch.equal(after.images[after.labels == i], before.images[before.labels == i])


@pytest.mark.parametrize("names", ["a/b a/b a a", ".a b .a b", "train train train train", "a a a .."])
def test_classes_that_no_folders_can_be_are_named_in_a_sentence(names):
    _, answer = packed(*names.split())
    assert list(answer) == ["error"] and "a folder cannot have the name" in answer["error"].lower()


def test_drawings_shifted_by_a_pixel_are_nine_of_each():
    picture = np.zeros((32, 32), np.uint8)
    picture[10, 20] = 255
    drawn = [["a", protocol.b64(picture)], *drawings("b", "b", "b")]
    data = own.of_drawings({"drawings": drawn, "shifted": True})
    assert data.labels.tolist() == [0, 1, 1, 1] * 9 and data.images.shape == (36, 1, 32, 32)
    assert torch.equal(data.images[0, 0], torch.from_numpy(picture))
    places = {tuple(each[0].nonzero()[0].tolist()) for each in data.images[::4]}
    assert places == {(10 + dy, 20 + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (None, "At most 400 drawings"),
        ({"drawings": "x"}, "At most 400 drawings"),
        ({"drawings": drawings("a") * 401}, "At most 400 drawings"),
        ({"drawings": drawings("a", "a")}, "2 drawings; at least 4, please."),
        ({"drawings": drawings("a", "a", "", "a")}, "some have none"),
        ({"drawings": [*drawings("a", "a", "a"), ["a", "no base64"]]}, "no drawings of this page"),
        ({"drawings": [*drawings("a", "a", "a"), ["a", 7]]}, "no drawings of this page"),
        ({"drawings": [*drawings("a", "a", "a"), [7, "AA=="]]}, "no drawings of this page"),
        ({"drawings": [*drawings("a", "a", "a"), "aa"]}, "no drawings of this page"),
        ({"drawings": drawings(*["x" * 41] * 4)}, "longer than 40 letters"),
        ({"drawings": drawings(*map(str, range(60)))}, "60 classes"),
    ],
)
def test_what_a_client_may_send_for_drawings_is_one_sentence(brought, drawn, words):
    before = brought.of("me")
    packet = brought.draw(drawn, ME)
    assert list(packet) == ["error"] and words in packet["error"]
    assert brought.of("me") is before


def test_a_network_that_repeats_a_few_drawings_is_found_out(registry, monkeypatch):
    """Their training pictures are the run's own, and the samples those of its last preview."""
    act = train.Actions(Engine(), registry)
    drawn = data(n=40)
    run = finish(request.check("fast", drawn, *ASKED))
    learned = drawn.images[:20].permute(0, 2, 3, 1).numpy()
    run.previews[-1]["averaged"] = protocol.b64(learned)  # as after a long training
    monkeypatch.setattr(act.runs, "get", lambda run_id: run if run_id == run.id else None)

    async def last(question):
        while not (answer := await act.neighbours.nearest(question))["done"]:
            pass
        return answer

    answer = asyncio.run(last({"run": run.id}))
    assert answer["about"].startswith("Compared with all 40 training pictures, beside how near 40 of these")
    assert answer["verdict"].startswith("20 of 20 are training pictures") and not answer["features"]
    with pytest.raises(ValueError, match="no samples yet"):
        asyncio.run(act.neighbours.nearest({"run": "another"}))
