from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.api.quantity import format_number, parse_decimal, parse_duration, parse_quantity
from slipway.errors import Invalid


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        ("1.5", "1.5"),
        ("1Gi", "1073741824"),
        ("1G", "1000000000"),
        ("0", "0"),
    ],
)
def test_quantities_are_those_of_kubernetes(text: str, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "-1", "1 Gi", "1gi", "1e3", "m", "1.", ".5", "1Gib", "1\n", "NaN"]
)
def test_what_is_no_quantity_is_refused_by_value(text: str) -> None:
    with pytest.raises(Invalid, match="is not a quantity such as 500m, 2 or 1Gi"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("10m", 600), ("1h2m30s", 3750), ("0s", 0)]
)
def test_durations_are_those_of_go(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "1m1h", "1.5s", "-1s", "1s ", "1d"])
def test_what_is_no_duration_is_refused_by_value(text: str) -> None:
    with pytest.raises(Invalid, match="is not a duration"):
        parse_duration(text)


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize("text", ["", "x", "NaN", "Infinity", "-sNaN", "1,5"])
def test_what_is_no_finite_number_is_refused_by_value(text: str) -> None:
    with pytest.raises(Invalid, match="is not a number such as"):
        parse_decimal(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (11.9834, "11.98"),
        (0.0, "0"),
        (-0.0, "0"),
        (0.00005, "0.00005"),
        (-0.000012345, "-0.00001234"),
        (9999.9, "10000"),
        (123456.7, "123457"),
        (0.99999, "1"),
        (100.0, "100"),
        (1e-12, "0"),
    ],
)
def test_numbers_for_people_have_four_digits_and_no_exponent(value: float, text: str) -> None:
    assert format_number(value) == text


@given(st.floats(-1e15, 1e15, allow_nan=False))
def test_a_written_number_is_near_and_short(value: float) -> None:
    text = format_number(value)
    assert len(text) <= 32
    assert "e" not in text
    assert abs(float(text) - value) <= max(abs(value) * 5.01e-4, 5.01e-9)


@given(st.floats())
def test_any_number_fits_a_status_field(value: float) -> None:
    assert len(format_number(value)) <= 32
