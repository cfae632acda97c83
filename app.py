"""Builds and launches the interface: python app.py [--host HOST] [--port PORT] [--root-path PATH] [--no-open]"""

import argparse
import os
import signal
import sys
import webbrowser
from typing import NoReturn

if os.environ.get("SPACES_ZERO_GPU"):
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # ddpm/_openmp.py, which loads torch, would come too late
    import spaces  # noqa: F401  before torch, which it patches

from ddpm import __version__, ui
from ddpm.ui.server import address, hosting


def refuse(why: ValueError | str) -> NoReturn:
    """End with one sentence, and the code for what will not do."""
    print(f"error: {' '.join(str(why).split())}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Open the page on this computer, or serve it to others.",
        epilog=f"What it gives to whom is set by environment variables:\n\n{ui.settings()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 lets others in (default: this computer only)")
    parser.add_argument("--port", help="port to listen on (default: the first free one from 7860)")
    parser.add_argument("--root-path", help="where a reverse proxy shows the page, such as /ddpm (default: /)")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # an orderly end, which saves the training runs
    hosting.log_to_stderr()
    try:
        where = address.asked(args.host, args.port, args.root_path, os.environ)
        demo, options = ui.build(), ui.launch_options()
    except ValueError as error:  # a setting that will not do
        refuse(error)
    hosting.tell("start", version=__version__, profile=os.environ.get("DDPM_PROFILE") or "local")
    try:
        with hosting.past_proxies(os.environ):
            options |= {"server_name": where.host, "server_port": where.port, "root_path": where.root_path}
            demo.launch(prevent_thread_lock=True, **options)
    except OSError as error:
        if "Cannot find empty port" not in str(error):
            raise
        refuse(address.in_use(where.port))  # all of them, or somebody was faster
    if not (args.no_open or "SPACE_ID" in os.environ):
        webbrowser.open(demo.local_url)
    demo.block_thread()


if __name__ == "__main__":
    main()
