"""Korean for the tables, by the English text."""

from collections.abc import Mapping

KOREAN: Mapping[str, str] = {
    "Rank": "순위",
}
