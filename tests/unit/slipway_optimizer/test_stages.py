"""Where to cut."""

import pytest

from slipway_optimizer.stages import Cut, Step, balance, cuts


def chain(*costs: float) -> list[Step]:
    """Tensors t0 (given) to tn (wanted), one step between each two."""
    return [Step((f"t{n}",), (f"t{n + 1}",), cost) for n, cost in enumerate(costs)]


def found(steps: list[Step], *, given: str = "t0", wanted: str) -> tuple[Cut, ...]:
    return cuts(steps, given=frozenset({given}), wanted=frozenset({wanted}))


def test_a_chain_can_be_cut_after_each_step_but_the_last() -> None:
    assert found(chain(1, 1, 1), wanted="t3") == (Cut(1, ("t1",)), Cut(2, ("t2",)))


def test_a_branch_lets_two_tensors_across_and_three_are_too_many() -> None:
    def fan(width: int) -> list[Step]:
        arms = [Step(("a",), (f"b{n}",), 1) for n in range(width)]
        join = Step(tuple(f"b{n}" for n in range(width)), ("y",), 1)
        return [Step(("t0",), ("a",), 1), *arms, join]

    assert found(fan(2), wanted="y") == (
        Cut(1, ("a",)), Cut(2, ("a", "b0")), Cut(3, ("b0", "b1")),
    )  # fmt: skip
    assert found(fan(3), wanted="y") == (Cut(1, ("a",)), Cut(2, ("a", "b0")))


def test_neither_an_input_nor_an_output_is_passed_on() -> None:
    late = [Step(("t0",), ("a",), 1), Step(("a", "t0"), ("b",), 1), Step(("b",), ("y",), 1)]
    assert found(late, wanted="y") == (Cut(2, ("b",)),)
    early = [Step(("t0",), ("y",), 1), Step(("y",), ("b",), 1), Step(("b",), ("z",), 1)]
    assert cuts(early, given=frozenset({"t0"}), wanted=frozenset({"y", "z"})) == ()


def test_what_nobody_reads_does_not_cross() -> None:
    steps = [Step(("t0",), ("a", "unused"), 1), Step(("a",), ("y",), 1)]
    assert found(steps, wanted="y") == (Cut(1, ("a",)),)


@pytest.mark.parametrize(
    ("costs", "stages", "places"),
    [
        ((1, 1, 4, 1, 1), 3, [2, 3]),
        ((5, 1, 1, 1), 2, [1]),
        ((1, 1, 1, 1), 4, [1, 2, 3]),
        ((1, 1), 3, None),
        ((1, 2, 3), 1, []),
    ],
)
def test_the_dearest_stage_is_as_cheap_as_can_be(
    costs: tuple[float, ...], stages: int, places: list[int] | None
) -> None:
    steps = chain(*costs)
    chosen = balance(steps, found(steps, wanted=f"t{len(costs)}"), stages)
    assert (None if chosen is None else [cut.place for cut in chosen]) == places
