"""How narrow a student is made so that it is as fast as is wished."""

from collections.abc import Callable, Sequence

from slipway_optimizer.training.aim import Aimed, Sizes, aim

GROUPS = {"first": 128, "second": 64}


class Machine:
    """Measures by a rule, and remembers what it was asked."""

    def __init__(self, rule: Callable[[Sizes], float]) -> None:
        self._rule, self.asked = rule, list[list[dict[str, int]]]()

    def ratios(self, choices: Sequence[Sizes]) -> list[float]:
        self.asked.append([dict(sizes) for sizes in choices])
        return [self._rule(sizes) for sizes in choices]


def share(sizes: Sizes) -> float:
    return sum(sizes.values()) / sum(GROUPS.values())


def test_what_is_fast_enough_is_not_narrowed() -> None:
    machine = Machine(share)
    assert aim(GROUPS, 0.5, 0.6, machine.ratios) == Aimed({"first": 64, "second": 32}, 0.5)
    assert len(machine.asked) == 1


def test_whole_blocks_go_everywhere_until_the_target_is_reached() -> None:
    machine = Machine(share)
    assert aim(GROUPS, 1.0, 0.6, machine.ratios).ratio <= 0.6
    assert machine.asked == [
        [{"first": 128, "second": 64}],
        [{"first": 96, "second": 48}],
        [{"first": 64, "second": 32}],
    ]


def test_below_a_block_the_group_that_saves_the_most_is_narrowed() -> None:
    def rule(sizes: Sizes) -> float:
        return 0.3 + 0.01 * sizes["first"] + 0.002 * sizes["second"]

    machine = Machine(rule)
    found = aim(GROUPS, 0.125, 0.4, machine.ratios)
    assert found.sizes == {"first": 4, "second": 16}
    assert machine.asked == [
        [{"first": 16, "second": 16}],
        [
            {"first": 8, "second": 16},
            {"first": 4, "second": 16},
            {"first": 16, "second": 8},
            {"first": 16, "second": 4},
        ],
    ]


def test_where_no_narrower_one_is_faster_the_fastest_is_taken_and_said() -> None:
    machine = Machine(lambda sizes: 0.5 if min(sizes.values()) >= 16 else 0.6)
    found = aim(GROUPS, 0.25, 0.4, machine.ratios)
    assert found == Aimed({"first": 16, "second": 16}, 0.5)
    assert found.words(0.4) == "no narrower student has 0.4x latency: 0.50x measured"
    assert Aimed({}, 0.391).words(0.4) == "aimed at 0.4x latency: 0.39x measured"


def test_the_search_ends_at_the_narrowest() -> None:
    machine = Machine(lambda sizes: 1 + 0.001 * sum(sizes.values()))
    assert aim(GROUPS, 1.0, 0.1, machine.ratios).sizes == {"first": 4, "second": 4}


def test_a_model_without_channels_to_spare_is_measured_and_left() -> None:
    assert aim({}, 0.25, 0.4, lambda choices: [1.0] * len(choices)) == Aimed({}, 1.0)
