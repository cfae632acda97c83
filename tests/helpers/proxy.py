"""An nginx in front of servers of ours, set up with the blocks that docs/hosting.md has under their marks."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .needs import unavailable
from .serving import free_port

ROOT = Path(__file__).parents[2]
CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {http}
    server {{
        listen 127.0.0.1:{port};
        location = /favicon.ico {{ return 204; }}
        {location}
    }}
}}
"""  # The icon: Chromium looks for one at the root of a host, which is not ours.


def documented(mark: str) -> str:
    """The fenced block that follows a mark in docs/hosting.md."""
    text = (ROOT / "docs/hosting.md").read_text(encoding="utf-8")
    return re.search(rf"<!-- {mark} -->\n```\n(.*?)```", text, re.S)[1]


def find_nginx() -> str:
    """Its path; without one the test is skipped, or fails under DDPM_REQUIRE_BROWSER=1."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    return nginx or unavailable("there is no nginx (Debian: apt-get install nginx-light)", "DDPM_REQUIRE_BROWSER")


@contextmanager
def proxied(nginx: str, folder: Path, location: str, http: str = "") -> Iterator[str]:
    """Run it with these blocks; its address.  folder: for its files.  It may take a moment until it answers."""
    port, configuration = free_port(), folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, location=location, http=http))
    # -e, because until it has read its configuration it would write to a folder of the system's.
    proxy = subprocess.Popen([nginx, "-e", str(folder / "nginx.log"), "-p", str(folder), "-c", str(configuration)])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        proxy.terminate()
        proxy.wait(10)
