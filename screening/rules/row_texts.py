"""Texts of a file's rows: the fields of the ledger, and the texts that only rules ask for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from screening.features.countries.addresses import AddressCountries
from screening.intake import header_of
from screening.intake.column_texts import column_texts
from screening.ledger import fields
from screening.rules.facts import ADDRESS_COUNTRY
from screening.scoring.places import with_countries
from screening.transactions.schema import ColumnContract, normalise


def row_texts(
    canonical: Path,
    offsets: NDArray[np.int64],
    *,
    contract: ColumnContract | None,
    called: Mapping[str, str],
    countries: AddressCountries | None,
    columns: Mapping[str, str],
    wanted: Collection[str] | None = None,
) -> dict[str, pa.DictionaryArray]:
    """Return texts of a file's rows, (rows of the file,) each, by field of the ledger or by key.

    Args:
        canonical: the upload itself, or its copy: the file that the offsets were made for.
        offsets: where each record begins.
        contract: the detector's; ``None`` where it is gone.
        called: what the file calls columns of the contract, by the contract's names.
        countries: of which country addresses are, for rows that bring none.
        columns: columns of the contract whose texts are wanted, too, by key.
        wanted: which fields and keys; ``None`` is all.
    """
    header = header_of(canonical)
    parts = [] if contract is None else contract.parts()
    places = fields.assign(header, [fields.called(column, called) for column in parts])
    names = [normalise(name) for name in header]
    for key, column in columns.items():
        name = normalise(called.get(column, column))
        if name in names:
            places[key] = names.index(name)
    if wanted is not None:
        needed = {*wanted, *(("address", "country") if {"country", ADDRESS_COUNTRY} & {*wanted} else ())}
        places = {name: place for name, place in places.items() if name in needed}
    texts = column_texts(canonical, offsets, sorted(set(places.values())))
    return with_countries({name: texts[place] for name, place in places.items()}, countries, ADDRESS_COUNTRY)
