"""The zoo: every small model by name, a table that grows by one entry."""

from __future__ import annotations

from typing import Final

from tests.truth import zoo_media, zoo_text, zoo_vision
from tests.truth.entry import Entry

ZOO: Final[dict[str, Entry]] = {
    entry.name: entry for entry in (*zoo_text.ENTRIES, *zoo_vision.ENTRIES, *zoo_media.ENTRIES)
}
