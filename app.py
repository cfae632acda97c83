"""Builds and launches the interface: python app.py [--host HOST] [--port PORT] [--root-path PATH] [--no-open]"""

import argparse
import os
import signal
import sys

if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401  before torch, which it patches

from ddpm import __version__, ui
from ddpm.ui import hosting


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Open the page on this computer, or serve it to others.",
        epilog=f"What it gives to whom is set by environment variables:\n\n{ui.settings()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 lets others in (default: this computer only)")
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    parser.add_argument("--root-path", help="where a reverse proxy shows the page, such as /ddpm (default: /)")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # an orderly end, which saves the training runs
    hosting.log_to_stderr()
    try:
        demo, options = ui.build(), ui.launch_options()
    except ValueError as error:  # a setting that will not do
        print(error, file=sys.stderr)
        sys.exit(2)
    opens = not (args.no_open or "SPACE_ID" in os.environ)
    hosting.tell("start", version=__version__, profile=os.environ.get("DDPM_PROFILE") or "local")
    demo.launch(server_name=args.host, server_port=args.port, root_path=args.root_path, inbrowser=opens, **options)


if __name__ == "__main__":
    main()
