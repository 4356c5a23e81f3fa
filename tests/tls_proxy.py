"""Encrypts the way to the tests' Kafka broker, which speaks no TLS itself."""

from __future__ import annotations

import selectors
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

HOST = "127.0.0.1"


class TestAuthority:
    """Signs certificates, by the program openssl; skips where there is none.

    Args:
        folder: where files are written.
        name: its own.
    """

    __test__ = False

    def __init__(self, folder: Path, name: str) -> None:
        if shutil.which("openssl") is None:
            pytest.skip(
                "openssl isn't installed, which makes the tests' certificates: apt-get install openssl"
            )
        self._folder = folder
        self.certificate = self._made(name)

    def issue(self, name: str) -> Path:
        """Return a file with a certificate for this machine and its key."""
        return self._made(name, "-CA", str(self.certificate), "-CAkey", str(self.certificate))

    def _made(self, name: str, *more: str) -> Path:
        path, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
        names = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{HOST}")
        subprocess.run(
            ["openssl", "req", "-x509", *kind, *names, *more, "-keyout", key, "-out", path],
            check=True,
            capture_output=True,
        )
        path.write_bytes(path.read_bytes() + key.read_bytes())
        return path


@contextmanager
def encrypted(address: str, certificate: Path, clients: Path | None = None) -> Iterator[str]:
    """Give the address of a port that decrypts what it gets and hands it to a broker.

    What the broker says of its own address is changed to that of this port: host and port follow each other in every
    answer that has them.

    Args:
        address: of the broker, an IPv4 address of this machine.
        certificate: file with the port's certificate and its key.
        clients: the authority that clients' certificates must be signed by; ``None``: they need none.
    """
    behind = int(address.rpartition(":")[2])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]
        told, instead = (HOST.encode() + struct.pack(">i", each) for each in (behind, port))

        def serve(raw: socket.socket) -> None:
            with (
                suppress(OSError),
                context.wrap_socket(raw, server_side=True) as client,
                socket.create_connection((HOST, behind)) as broker,
                # not select(), which knows 1,024 files: this process has more open after thousands of tests
                selectors.DefaultSelector() as ways,
            ):
                # one thread for both ways: a connection of OpenSSL's mustn't be read and written at a time
                ways.register(client, selectors.EVENT_READ)
                ways.register(broker, selectors.EVENT_READ)
                while True:
                    ready = [client] if client.pending() else [key.fileobj for key, _ in ways.select()]
                    if client in ready:
                        broker.sendall(frame_of(client))
                    if broker in ready:
                        client.sendall(frame_of(broker).replace(told, instead))

        def accept() -> None:
            with suppress(OSError):  # it was closed
                while True:
                    raw, _ = listening.accept()
                    threading.Thread(target=serve, args=(raw,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"{HOST}:{port}"
        listening.shutdown(socket.SHUT_RDWR)


def frame_of(source: socket.socket) -> bytes:
    """Return the next frame with its length before it. Raises ``OSError`` if none comes."""
    head = received(source, 4)
    return head + received(source, struct.unpack(">i", head)[0])


def received(source: socket.socket, count: int) -> bytes:
    """Return so many bytes. Raises ``OSError`` if they don't come."""
    found = b""
    while len(found) < count:
        part = source.recv(count - len(found))
        if not part:
            raise ConnectionError
        found += part
    return found
