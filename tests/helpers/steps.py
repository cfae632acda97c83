"""What a person does on the page, and what they then see."""

import io

from PIL import Image


def tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def status(page, name):
    return page.locator(f"#{name}-view .status")


def wait_for_status(page, name, text):
    found = "([name, text]) => document.querySelector(`#${name}-view .status`)?.textContent.match(text)"
    try:
        page.wait_for_function(found, arg=[name, text])
    except Exception as error:  # its class is playwright's, which may not be installed
        raise AssertionError(f"the status is {status(page, name).text_content()!r}, not {text!r}") from error


def stop_once(page, name, text):
    """Press Stop in the moment in which the status says so: from here it could come after the end."""
    pressed = """([name, text]) => {
        const stop = document.getElementById(`${name}-stop`);
        if (stop.disabled || !document.querySelector(`#${name}-view .status`).textContent.match(text)) return false;
        stop.click();
        return true;
    }"""
    page.wait_for_function(pressed, arg=[name, text])


def pixels(page, name, pane):
    """The picture of a pane as the person sees it."""
    return page.locator(f"#{name}-view .pane-{pane} canvas").evaluate("c => c.toDataURL()")


def playhead(page, name):
    return page.locator(f"#{name}-view .timeline input[type=range]")


def live(page, name, key):
    return page.locator(f"#{name}-margin [data-live='{key}']").first.text_content()


def set_number(page, elem_id, value):
    field = page.locator(f"#{elem_id} input[type=number]")
    field.fill(str(value))
    field.press("Tab")


def choose(page, elem_id, label):
    """In a drop-down."""
    page.locator(f"#{elem_id} input").click()
    page.get_by_role("option", name=label, exact=True).click()


def wait_for_change(page, name, pane, before):
    page.wait_for_function(
        "([sel, before]) => document.querySelector(sel).toDataURL() !== before",
        arg=[f"#{name}-view .pane-{pane} canvas", before],
    )


def another_run(page, name, act):
    """Do what starts a run in a tab's view, and wait until it is the one that is shown."""
    before = page.locator(f"#{name}-view .view").get_attribute("data-run")
    act()
    page.wait_for_function(
        "([name, old]) => document.querySelector(`#${name}-view .view`).dataset.run !== (old || undefined)",
        arg=[name, before],
    )


def generate(page, steps=20, n=4, seed=0):
    set_number(page, "reverse-n", n)
    set_number(page, "reverse-seed", seed)
    set_number(page, "reverse-steps", steps)
    page.click("#reverse-generate")


def fits_a_laptop(page):
    """Whether nothing is to be scrolled at 1280 x 800."""
    width, height = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    return width <= 1280 and height <= 800


def is_inside(page, width, selector):
    """Whether neither the page nor any of what is selected is wider than the window."""
    boxes = [node.bounding_box() for node in page.locator(selector).all()]
    inside = all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    return inside and page.evaluate("document.documentElement.scrollWidth") <= width


def open_file(page, data, name="mine.safetensors", tab="reverse"):
    """Through a tab's upload button."""
    file = {"name": name, "mimeType": "", "buffer": data}
    page.locator(f"#{tab}-open").locator("xpath=preceding-sibling::input").set_input_files(file)


def save(page, item, tab="reverse"):
    """By a tab's menu: the download."""
    page.locator(f"#{tab}-view").get_by_role("button", name="Save", exact=True).click()
    with page.expect_download() as download:
        page.locator(f"#{tab}-view .menu").get_by_role("button", name=item).click()
    return download.value


def start_training(page, budget, kind="steps"):
    tab(page, "Train")
    if kind == "steps":
        page.locator("#train-kind input").click()
        page.get_by_role("option", name="steps").click()
    set_number(page, "train-budget", budget)
    page.click("#train-start")


def leave_out_evaluation(page):
    """Stop a run that has ended its training, if it is not over by then."""
    wait_for_status(page, "train", "^(Trained|Done)")
    page.evaluate("document.getElementById('train-stop').click()")  # does nothing where it is disabled
    wait_for_status(page, "train", "^Done after")


def open_latent(open_page, size=(1280, 800)):
    """Reverse, with the weights of a training in latent space of some steps."""
    page = open_page(*size)
    tab(page, "Train")
    page.get_by_role("radio", name="in latent space").check()
    page.wait_for_function("document.querySelector('#train-preset input').value.startsWith('latent')")
    choose(page, "train-kind", "steps")
    set_number(page, "train-budget", 20)
    page.click("#train-start")
    leave_out_evaluation(page)
    page.click("#train-use")
    page.wait_for_function("document.querySelector('#reverse-view')?.checkVisibility()")
    return page


def png(size, mode="L", colour=255, ink=None, **options):
    picture = Image.new(mode, size, colour)
    if ink is not None:
        picture.paste(ink, (size[0] // 3, size[1] // 4, size[0] // 2, size[1] * 3 // 4))
    data = io.BytesIO()
    picture.save(data, options.pop("format", "PNG"), **options)
    return data.getvalue()
