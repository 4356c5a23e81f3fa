"""Writes small MaxMind DB files (format 2.0, maxmind.github.io/MaxMind-DB), so that reading them can be tested."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

TEXT, UINT16, UINT32, MAP, UINT64, ARRAY = 2, 5, 6, 7, 9, 11
GAP = 16
Tree = list[list[Any]]


def encoded(value: Any, number: int = UINT16) -> bytes:
    """A value as the format writes it; ``number`` is the type of whole numbers."""
    if isinstance(value, dict):
        return _head(MAP, len(value)) + b"".join(encoded(key) + encoded(each) for key, each in value.items())
    if isinstance(value, list):
        return _head(ARRAY, len(value)) + b"".join(map(encoded, value))
    raw = value.encode() if isinstance(value, str) else value.to_bytes(8, "big").lstrip(b"\0")
    return _head(TEXT if isinstance(value, str) else number, len(raw)) + raw


def _head(kind: int, size: int) -> bytes:
    return bytes([kind << 5 | size]) if kind <= MAP else bytes([size, kind - MAP])


def database(networks: dict[str, Any]) -> bytes:
    """A file of IPv4 networks with a record each."""
    tree, data = [[None, None]], b""
    for network, record in networks.items():
        _plant(tree, network, len(data))
        data += encoded(record)
    nodes = b"".join(_pointer(leaf, len(tree)).to_bytes(3, "big") for pair in tree for leaf in pair)
    return nodes + bytes(GAP) + data + b"\xab\xcd\xefMaxMind.com" + _metadata(len(tree))


def _plant(tree: Tree, network: str, place: int) -> None:
    parsed = ip_network(network)
    *path, last = (int(bit) for bit in f"{int(parsed[0]):032b}"[: parsed.prefixlen])
    node = 0
    for bit in path:
        if tree[node][bit] is None:
            tree.append([None, None])
            tree[node][bit] = len(tree) - 1
        node = tree[node][bit]
    tree[node][last] = ("data", place)


def _pointer(leaf: Any, nodes: int) -> int:
    if isinstance(leaf, tuple):
        return nodes + GAP + int(leaf[1])
    return nodes if leaf is None else int(leaf)


def _metadata(nodes: int) -> bytes:
    parts: list[tuple[str, Any, int]] = [
        ("node_count", nodes, UINT32),
        ("record_size", 24, UINT16),
        ("ip_version", 4, UINT16),
        ("database_type", "Country", TEXT),
        ("languages", ["en"], TEXT),
        ("binary_format_major_version", 2, UINT16),
        ("binary_format_minor_version", 0, UINT16),
        ("build_epoch", 1_700_000_000, UINT64),
        ("description", {"en": "made for a test"}, TEXT),
    ]
    return _head(MAP, len(parts)) + b"".join(
        encoded(name) + encoded(value, kind) for name, value, kind in parts
    )
