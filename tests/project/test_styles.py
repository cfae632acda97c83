"""The style sheets lie in layers: tokens, components, tabs; a tab's lies in its folder."""

from __future__ import annotations

import re

import pytest

from ddpm.ui import STYLES
from ddpm.ui.page import HERE

TOKENS = HERE / "components/tokens.css"
COMMENT = re.compile(r"/\*.*?\*/", re.S)
NAME = re.compile(r"(?<![\w-])(--[\w-]+)\s*:")
# Not of a selector such as a:hover { }, which ends in a brace.
DECLARATION = re.compile(r"(?<![\w-])[\w-]+\s*:\s*([^;{}]+)(?=[;}])")
COLOUR = re.compile(
    r"#[0-9a-f]{3,8}\b|\b(?:rgb|hsl|hwb|lab|lch|oklab|oklch|color)a?\("
    r"|(?<![\w-])(?:black|white|gr[ae]y|red|green|blue|yellow|orange|purple|cyan|magenta)(?![\w-])",
    re.I,
)
KEPT = ("media", "keyframes", "font-face")  # of what begins with @, by Gradio, at a sheet's outermost
# Gradio puts its prefix before each part of it, whose weight then beats any rule without a list.
LIST = re.compile(r":(?:is|where|not|has)\([^()]*,[^{]*")


def problems(text: str, tokens: str) -> list[str]:
    """What a sheet that is not the tokens may not say."""
    bare = COMMENT.sub("", text)
    found = [f"the colour {c}" for value in DECLARATION.findall(bare) for c in COLOUR.findall(value)]
    found += [f"var({name})" for name in re.findall(r"var\(\s*(--[\w-]+)", bare) if name not in defined(tokens)]
    found += [f"@{name}" for name in re.findall(r"@([\w-]+)", bare) if name not in KEPT]
    found += [f"the list {each.strip()}" for each in LIST.findall(bare)]
    return found + unexplained(text)


def defined(text: str) -> set[str]:
    return set(NAME.findall(COMMENT.sub("", text)))


def unexplained(text: str) -> list[str]:
    """The lines that say !important and not what of Gradio's it is against."""
    return [line.strip() for line in text.splitlines() if "!important" in line and not COMMENT.search(line)]


def test_the_layers_are_read_in_their_order_and_none_is_left_out():
    folders = [path.relative_to(HERE).parts[0] for path in STYLES]
    assert STYLES[0] == TOKENS and set(folders) == {"components", "tabs"} and folders == sorted(folders)
    assert len(STYLES) == len(set(STYLES)) and set(STYLES) == set(HERE.rglob("*.css"))


@pytest.mark.parametrize("path", [path for path in STYLES if path != TOKENS], ids=lambda path: path.name)
def test_a_sheet_names_its_colours_and_says_why_it_insists(path):
    assert problems(path.read_text(encoding="utf-8"), TOKENS.read_text(encoding="utf-8")) == []


def test_the_tokens_are_the_same_in_light_and_dark():
    text = COMMENT.sub("", TOKENS.read_text(encoding="utf-8"))
    light, dark = (defined(each) for each in text.split(".dark", 1))
    assert dark and dark < light, dark - light
    assert "!important" not in text and not re.search(r"@", text)


def test_each_token_is_read_by_a_sheet_or_a_script():
    """And what a script asks for by name is one: colour("line") reads --line."""
    scripts = "\n".join(path.read_text(encoding="utf-8") for path in HERE.rglob("*.js"))
    sheets = "\n".join(path.read_text(encoding="utf-8") for path in STYLES)
    tokens = defined(TOKENS.read_text(encoding="utf-8"))
    unread = [t for t in tokens if f"var({t})" not in sheets and f'"{t.removeprefix("--")}"' not in scripts]
    assert unread == []
    asked = {f"--{name}" for name in re.findall(r'\bcolour\("([\w-]+)"\)', scripts)}
    assert asked and asked <= tokens, asked - tokens


@pytest.mark.parametrize(
    ("sheet", "seen"),
    [
        (".a { color: #fff; }", ["the colour #fff"]),
        (":is(.a, .b) p { top: 0; }", ["the list :is(.a, .b) p"]),
        (".a { border: 1px solid rgb(0 0 0 / 0.5) }", ["the colour rgb("]),
        (".a:hover { background: White; }", ["the colour White"]),
        ("@media (max-width: 9px) { .a { color: #abcdef; } }", ["the colour #abcdef"]),
        (".a { color: var(--unknown); }", ["var(--unknown)"]),
        (".a { color: var(--ink) !important; }", [".a { color: var(--ink) !important; }"]),
        ("@layer tabs { .a { margin: 0; } }", ["@layer"]),
        ("#fade:hover { color: var(--ink); } /* not #fff */", []),
        (".a { margin: 0 !important; /* Gradio's style attribute */ }", []),
        (".a { background: transparent; white-space: nowrap; --x: var(--ink); }", []),
    ],
)
def test_the_check_sees_what_a_sheet_may_not_say(sheet, seen):
    assert problems(sheet, ".gradio-container { --ink: #000; }") == seen
