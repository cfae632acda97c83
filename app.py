"""Builds and launches the interface: python app.py [--host HOST] [--port PORT] [--no-open]"""

import argparse
import os

from ddpm import ui

demo = ui.build()

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Open the page on this computer, or serve it to others.")
    parser.add_argument("--host", help="address to listen on; 0.0.0.0 lets others in (default: this computer only)")
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")
    args = parser.parse_args()
    on_spaces = "SPACE_ID" in os.environ
    options = ui.launch_options() | {"inbrowser": not (args.no_open or on_spaces)}
    demo.launch(server_name=args.host, server_port=args.port, **options)
