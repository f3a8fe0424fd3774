"""Addresses and sockets: section 3.1."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from typing import Union

from .errors import Code, LMError

ALPN = "lmcall/1"
DEFAULT_PORT = 7433

Address = Union[str, tuple[str, int]]
"""The path of a Unix-domain socket, or a host and a port."""


def parse_address(text: str) -> Address:
    """`HOST`, `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`."""
    if text.startswith("unix:"):
        return text.removeprefix("unix:")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        is_wrong = not bracket or (rest != "" and not rest.startswith(":"))
    elif text.count(":") > 1:
        host, port, is_wrong = text, "", False
    else:
        host, colon, port = text.partition(":")
        is_wrong = bool(colon) and not port
    if is_wrong or not host or (port and not (port.isascii() and port.isdigit() and int(port) < 65_536)):
        raise LMError(Code.INVALID, f"{text!r} is not HOST, HOST:PORT, [IPv6]:PORT or unix:PATH")
    return host, int(port) if port else DEFAULT_PORT


def is_local(address: Address) -> bool:
    """Whether bytes sent there stay on this machine."""
    if isinstance(address, str) or address[0] == "localhost":
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return False


def tls_context(tls: bool | ssl.SSLContext) -> ssl.SSLContext | None:
    """The context to use, which offers our protocol and nothing else."""
    if tls is False:
        return None
    context = ssl.create_default_context() if tls is True else tls
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols([ALPN])
    return context


def connect(address: Address, context: ssl.SSLContext | None, server_name: str | None, timeout: float) -> socket.socket:
    """A connected socket that does not block, TLS included."""
    plain: socket.socket | None = None
    try:
        if isinstance(address, str):
            plain = socket.socket(socket.AF_UNIX)
            plain.settimeout(timeout)
            plain.connect(address)
        else:
            plain = socket.create_connection(address, timeout)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected = plain
        if context is not None:
            name = server_name or (address[0] if isinstance(address, tuple) else "localhost")
            secure = context.wrap_socket(plain, server_hostname=name)
            if secure.selected_alpn_protocol() != ALPN:
                raise OSError(f"the server does not speak {ALPN}")
            connected = secure
        connected.setblocking(False)
        return connected
    except OSError as error:
        if plain is not None:
            plain.close()
        where = address if isinstance(address, str) else "{}:{}".format(*address)
        raise LMError(Code.CONNECTION, f"cannot connect to {where}: {error}", retryable=True) from error
