"""Of which country a transaction is: what its own column says, or else where its address is.

The operator's table goes before a detector's own one, which it was trained with.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from screening.errors import BadFile, BadSetting
from screening.features.countries.addresses import AddressCountries

if TYPE_CHECKING:
    import pyarrow as pa

    from screening.detectors.detector import Detector

log = logging.getLogger(__name__)


class AddressTables:
    """Gives each detector's transactions the table by which their addresses are looked up.

    Args:
        file: the operator's table, if there is one.

    Raises:
        BadSetting: it can't be read.
    """

    def __init__(self, file: Path | None) -> None:
        self._table: AddressCountries | None = None
        if file is not None:
            self._table = _table(file)
        self._own: dict[str, AddressCountries] = {}

    def of(self, detector: Detector | None) -> AddressCountries | None:
        """Return the table for a detector's transactions, if there is any."""
        definition = None if detector is None else detector.vectorizer.definition
        if self._table is not None or detector is None or definition is None or definition.ranges is None:
            return self._table
        if detector.fingerprint not in self._own:
            self._own[detector.fingerprint] = AddressCountries.of_ranges(definition.ranges)
        return self._own[detector.fingerprint]


def _table(file: Path) -> AddressCountries:
    from screening.features.countries.range_files import read_countries

    try:
        found = read_countries(file)
    except BadFile as problem:
        raise BadSetting(
            f"IP_COUNTRIES can't be used: {problem.what}", where=str(file), remedy=problem.remedy
        ) from None
    if found.skipped:
        log.warning(
            "%s: %d rows of the table of address ranges are damaged, and left out", file, found.skipped
        )
    return found


def with_countries(
    fields: Mapping[str, pa.DictionaryArray], table: AddressCountries | None, apart: str | None = None
) -> dict[str, pa.DictionaryArray]:
    """Return fields of a file's rows with the country of those that have an address and no country.

    Args:
        fields: texts (rows,), each text once in the dictionary.
        table: by which addresses are looked up.
        apart: under which name the country of the address is returned by itself, too.
    """
    address = fields.get("address")
    if table is None or address is None:
        return dict(fields)
    import pyarrow as pa
    import pyarrow.compute as pc

    each = pa.array(table.of(address.dictionary.to_pylist()), pa.string())
    found = looked_up = pc.take(each, address.indices)
    own = fields.get("country")
    if own is not None:
        found = pc.coalesce(own.cast(pa.string()), looked_up)
    more = {} if apart is None else {apart: looked_up.dictionary_encode()}
    return {**fields, "country": found.dictionary_encode(), **more}
