"""What a PDF must have for people who don't see it, read from its structure."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pikepdf


def structure_of(data: bytes, title: str, author: str) -> set[str]:
    """Hold a document against PDF/UA, as far as its structure tells, and return the kinds of its elements."""
    with pikepdf.open(io.BytesIO(data)) as pdf:
        root = pdf.Root
        assert str(root["/Lang"]).startswith("en")
        assert root["/MarkInfo"]["/Marked"]
        assert root["/ViewerPreferences"]["/DisplayDocTitle"]
        with pdf.open_metadata() as meta:
            assert meta["pdfuaid:part"] == "1"
            assert meta["dc:title"] == title
            assert meta["dc:creator"] == [author]
        found = list(elements(root["/StructTreeRoot"]))
        kinds = {kind for kind, _ in found}
        assert {"/Document", "/P", "/Table", "/THead", "/TH", "/TD", "/Figure"} <= kinds
        for kind, element in found:
            if kind == "/Figure":
                assert len(str(element["/Alt"])) > 40, "what a chart shows is said in words"
            if kind == "/Table":
                inside = [each for each, _ in elements(element)]
                assert inside.count("/TH") >= 2
        heads = [element for kind, element in found if kind == "/TH"]
        assert all(scope(head) == "/Column" for head in heads)
        for page in pdf.pages:
            assert page["/Tabs"] == "/S"
            assert set(marked(page)) <= {"/Artifact", "structure"}, (
                "everything on a page is tagged or decoration"
            )
            for font in fonts(page):
                descriptor = font["/DescendantFonts"][0]["/FontDescriptor"]
                assert "/FontFile2" in descriptor or "/FontFile3" in descriptor
                assert "/ToUnicode" in font
    return kinds


def elements(node: Any) -> Iterator[tuple[str, Any]]:
    """The structure tree, from the top to the end: the type of each element, and the element."""
    kids = node.get("/K", [])
    for kid in kids if isinstance(kids, pikepdf.Array) else [kids]:
        if isinstance(kid, pikepdf.Dictionary) and "/S" in kid:
            yield str(kid["/S"]), kid
            yield from elements(kid)


def scope(head: Any) -> str:
    attributes = head["/A"]
    every = attributes if isinstance(attributes, pikepdf.Array) else [attributes]
    return next(str(one["/Scope"]) for one in every if "/Scope" in one)


def fonts(page: Any) -> list[Any]:
    return [font for font in page["/Resources"].get("/Font", {}).values() if "/DescendantFonts" in font]


def marked(page: Any) -> Iterator[str]:
    """What each text of a page is marked as: a piece of the structure, by its number, or an artifact."""
    within: list[str] = []
    for instruction in pikepdf.parse_content_stream(page):
        operands, operator = instruction.operands, instruction.operator
        if str(operator) in ("BDC", "BMC"):
            numbered = (
                len(operands) > 1 and isinstance(operands[1], pikepdf.Dictionary) and "/MCID" in operands[1]
            )
            within.append("structure" if numbered else str(operands[0]))
        elif str(operator) == "EMC":
            within.pop()
        elif str(operator) in ("Tj", "TJ", "S", "f", "Do"):
            known = [each for each in within if each in ("structure", "/Artifact")]
            yield known[-1] if known else "nothing"
