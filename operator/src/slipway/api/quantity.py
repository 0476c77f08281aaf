"""Kubernetes quantities, durations and decimals: parse and format. Pure."""

import re
from decimal import Decimal, InvalidOperation
from typing import Final

from slipway.errors import Invalid

QUANTITY_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
DURATION_PATTERN: Final = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
DECIMAL_PATTERN: Final = r"^-?[0-9]+(\.[0-9]+)?$"
_SUFFIX: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}
_UNIT_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}


def parse_quantity(text: str) -> Decimal:
    """``"500m"`` -> 0.5, ``"1Gi"`` -> 1073741824.

    Raises:
        Invalid: not a quantity.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)", str(text))
    if match is None or match[2] not in _SUFFIX:
        raise Invalid(f"'{str(text)[:40]}' is not a quantity such as 500m, 2 or 1Gi")
    return Decimal(match[1]) * _SUFFIX[match[2]]


def parse_duration(text: str) -> int:
    """Seconds of a Go-style duration: ``"1h2m30s"`` -> 3750.

    Raises:
        Invalid: not a duration.
    """
    parts = re.findall(r"([0-9]+)([hms])", text)
    if not parts or not re.fullmatch(DURATION_PATTERN, text):
        raise Invalid(f"'{text[:40]}' is not a duration such as 30s, 10m or 1h30m")
    return sum(int(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def parse_decimal(text: str) -> Decimal:
    """A decimal that travels as a string.

    Raises:
        Invalid: not a number.
    """
    try:
        found = Decimal(text)
    except InvalidOperation as error:
        raise Invalid(f"'{text[:40]}' is not a number such as 0.005") from error
    if not found.is_finite():
        raise Invalid(f"'{text[:40]}' is not a number such as 0.005")
    return found


def format_number(value: float) -> str:
    """Up to four significant digits: 11.9834 -> ``"11.98"``, 0.00005 -> ``"0.00005"``.

    Integers from 10 000 on are whole; what is below 1e-9 reads 0. Only from 1e16 on, where no
    measurement is, there is an exponent, so that any number fits a field of the status.
    """
    if not abs(value) < 1e16:  # NaN too
        return f"{value:.4g}"
    if abs(value) < 1e-9:
        return "0"
    rounded = Decimal(f"{value:.4g}")
    return f"{value:.0f}" if abs(rounded) >= 10_000 else f"{rounded:f}"
