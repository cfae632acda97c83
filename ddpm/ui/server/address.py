"""Where a server listens, and where others see it: what was asked for is checked before anything starts."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from urllib.parse import urlsplit

LOCAL = "127.0.0.1"
MAX_PORT = 65_535
GRADIO_PORT, PORT = "GRADIO_SERVER_PORT", "DDPM_SERVER_PORT"
SEGMENT = re.compile(r"[A-Za-z0-9._~%@+,=-]+")


@dataclass(frozen=True)
class Address:
    """host and port to listen on, None for the first free port from 7860; root_path, "" for the root of a domain."""

    host: str
    port: int | None
    root_path: str


def set_port_aside(environ: MutableMapping[str, str]) -> dict[str, str]:
    """Take GRADIO_SERVER_PORT out of `environ`, before Gradio is imported: {the name under which it is kept: it}.

    Gradio fails at its import on one that is no number, and takes the next port without a word where it is in use.
    """
    return {PORT: text} if (text := environ.pop(GRADIO_PORT, "")) else {}


def asked(host: str | None, port: str | None, root_path: str | None, environ: Mapping[str, str]) -> Address:
    """What was asked for: the arguments, or else what `environ` sets.  Raises ValueError in one sentence.

    A port that is named is the one that is taken, so it must be free.
    """
    host, name = chosen(host, "--host", environ, "GRADIO_SERVER_NAME")
    host = bracketed(host or LOCAL)
    port, port_name = chosen(port, "--port", environ, PORT)
    number = None if port is None else port_of(port, port_name.replace(PORT, GRADIO_PORT))
    can_listen(host, number, name)
    root_path, name = chosen(root_path, "--root-path", environ, "GRADIO_ROOT_PATH")
    return Address(host, number, root_of(root_path or "", name))


def chosen(value: str | None, option: str, environ: Mapping[str, str], variable: str) -> tuple[str | None, str]:
    """(value, who said so): of an option, or else of an environment variable, which if empty is not set."""
    return (value, option) if value is not None else (environ.get(variable) or None, variable)


def bracketed(host: str) -> str:
    """The host as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def port_of(text: str, name: str) -> int:
    """The port in a text.  name: whose it is.  Raises ValueError."""
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= MAX_PORT:
        raise ValueError(f"{name}: a whole number from 1 to {MAX_PORT}, not {text[:40]!r}")
    return int(text)


def can_listen(host: str, port: int | None, name: str) -> None:
    """Raises ValueError if there can be no server at this host and port (any port if None).  name: of the host."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ValueError(f"{name}: {host[:80]!r} is no address of this computer; 0.0.0.0 lets others in") from None
    bound, absent = False, ""
    for family, kind, protocol, _, where in found:  # such as ::1 and 127.0.0.1 of localhost
        try:
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":  # elsewhere it would share a port that somebody listens on
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
                bound = True
        except PermissionError:
            raise ValueError(f"Port {port} is not yours to use. Name one from 1024 to {MAX_PORT}.") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ValueError(in_use(port)) from None
            absent = str(error.strerror)
    if not bound:
        raise ValueError(f"{name}: no server can listen on {host[:80]!r} ({absent})")


def in_use(port: int | None) -> str:
    """What to say and do about it.  None: of all that Gradio looks at."""
    which = "All ports from 7860 on are" if port is None else f"Port {port} is"
    return f"{which} in use. End what runs there, or name another: --port N."


def root_of(text: str, name: str) -> str:
    """Where a reverse proxy shows the page: a path, slashes mended ("ddpm/" is /ddpm), or a whole http(s) address.

    Raises ValueError.
    """
    wrong = ValueError(f"{name}: a path such as /ddpm, or an address such as https://host/ddpm, not {text[:80]!r}")
    start, path = "", text
    if "://" in text:
        try:
            parts = urlsplit(text)
            whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        except ValueError:
            raise wrong from None
        start, path = f"{parts.scheme}://{parts.netloc}", text.split("://", 1)[1].partition("/")[2]
        if not whole or not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", parts.netloc):
            raise wrong
    path = path.strip("/")
    segments = path.split("/") if path else []
    if any(not SEGMENT.fullmatch(segment) or segment in (".", "..") for segment in segments):
        raise wrong
    return start + "".join(f"/{segment}" for segment in segments)
