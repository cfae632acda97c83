"""What one server gives to whom."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm.ui.server import limits

ROOT = Path(__file__).parents[3]


def test_the_profiles_are_what_they_are_for():
    local, classroom, public = (limits.load({"DDPM_PROFILE": name}) for name in ("", "classroom", "public"))
    assert local == limits.PROFILES["local"] == limits.load({})
    assert classroom.runs_per_address >= 40 and classroom.jobs >= 2 * classroom.runs_per_address
    assert public.training_runs == 1 and public.training_seconds <= 60
    assert all(getattr(public, f.name) <= getattr(local, f.name) for f in dataclasses.fields(limits.Limits))


def test_each_can_be_set_by_itself():
    asked = {"DDPM_PROFILE": "public", "DDPM_DIGITS": "9", "DDPM_STEPS": ""}
    assert limits.load(asked) == dataclasses.replace(limits.PROFILES["public"], digits=9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROFILE", "school"),
        ("DIGITS", "0"),
        ("DIGITS", "65"),
        ("DIGITS", "-3"),
        ("STEPS", "ten"),
        ("JOBS", "9" * 400),
        ("JOBS", "²"),
    ],
)
def test_a_bad_setting_is_one_sentence(name, value):
    with pytest.raises(ValueError, match=f"DDPM_{name}: ") as error:
        limits.load({f"DDPM_{name}": value})
    assert "\n" not in str(error.value) and len(str(error.value)) < 150


@pytest.mark.slow
def test_the_command_line_lists_every_setting_and_refuses_a_bad_one():
    listed = subprocess.run([sys.executable, "app.py", "--help"], capture_output=True, text=True, check=True).stdout
    assert all(f"DDPM_{field.name.upper()}" in listed for field in dataclasses.fields(limits.Limits))
    bad = subprocess.run(
        [sys.executable, "app.py"], env=os.environ | {"DDPM_PROFILE": "school"}, capture_output=True, text=True
    )
    assert (
        bad.returncode == 2
        and bad.stderr.strip() == "error: DDPM_PROFILE: one of local, classroom, public, not 'school'"
    )


def test_the_readme_lists_the_same():
    assert limits.table() in (ROOT / "docs/hosting.md").read_text(encoding="utf-8")
