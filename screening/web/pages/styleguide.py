"""One page with all components, for whoever changes how the pages look."""

from __future__ import annotations

import re
from functools import cache

from flask import Blueprint, render_template

from screening.settings import ROOT
from screening.web.http.sessions import require

blueprint = Blueprint("styleguide", __name__)
COLOUR = re.compile(r"--([a-z0-9-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
SIZE = re.compile(r"--(size-\d+): ")


@blueprint.get("/styleguide")
@require("admin")
def show() -> str:
    """Show tokens and components as the style sheet has them."""
    colours, sizes = _tokens()
    return render_template("styleguide.html", colours=colours, sizes=sizes)


@cache
def _tokens() -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return the colours, each with its light and its dark value, and the sizes of type, from the style sheet."""
    text = (ROOT / "static" / "css" / "tokens.css").read_text(encoding="utf-8")
    return COLOUR.findall(text), SIZE.findall(text)
