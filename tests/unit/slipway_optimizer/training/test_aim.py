"""How narrow a student is made so that it is as fast as is wished."""

from collections.abc import Callable, Sequence

import pytest

from slipway.api.v1alpha1.training import Distillation
from slipway_optimizer.training.aim import Aim, Aimed, Sizes, aim, aim_of

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


def wished(width: float, target: float) -> Aim:
    return Aim(width, target, wished=True)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Distillation(), Aim(0.25, 0.4, wished=False)),
        (Distillation(width="0.25"), Aim(0.25, None, wished=False)),
        (Distillation(latency_ratio="0.5"), Aim(0.25, 0.5, wished=True)),
        (Distillation(width="0.75", latency_ratio="0.5"), Aim(0.75, 0.5, wished=True)),
    ],
)
def test_a_width_is_taken_at_its_word_and_none_means_a_fast_student(
    wish: Distillation, expected: Aim
) -> None:
    assert aim_of(wish) == expected


def test_what_is_fast_enough_is_not_narrowed() -> None:
    machine = Machine(share)
    found = aim(GROUPS, wished(0.5, 0.6), machine.ratios)
    assert found == Aimed({"first": 64, "second": 32}, 0.5)
    assert len(machine.asked) == 1


def test_whole_blocks_go_everywhere_until_the_target_is_reached() -> None:
    machine = Machine(share)
    assert aim(GROUPS, wished(1.0, 0.6), machine.ratios).ratio <= 0.6
    assert machine.asked == [
        [{"first": 128, "second": 64}],
        [{"first": 96, "second": 48}],
        [{"first": 64, "second": 32}],
    ]


def test_below_a_block_the_group_that_saves_the_most_is_narrowed() -> None:
    def rule(sizes: Sizes) -> float:
        return 0.28 + 0.01 * sizes["first"] + 0.002 * sizes["second"]

    machine = Machine(rule)
    found = aim(GROUPS, wished(0.125, 0.4), machine.ratios)
    assert found.sizes == {"first": 4, "second": 16}
    assert machine.asked == [
        [{"first": 16, "second": 16}],
        [
            {"first": 8, "second": 16},
            {"first": 4, "second": 16},
            {"first": 16, "second": 8},
            {"first": 16, "second": 4},
        ],
        [{"first": 4, "second": 16}],
    ]


def test_a_group_that_saves_nothing_beside_the_others_stays_a_block() -> None:
    def rule(sizes: Sizes) -> float:
        return 0.5 if min(sizes.values()) < 16 else 0.6

    found = aim(GROUPS, wished(0.125, 0.4), Machine(rule).ratios)
    assert found == Aimed({"first": 4, "second": 16}, 0.5)


def test_where_no_narrower_one_is_faster_the_fastest_is_taken_and_said() -> None:
    machine = Machine(lambda sizes: 0.5 if min(sizes.values()) >= 16 else 0.6)
    found = aim(GROUPS, wished(0.25, 0.4), machine.ratios)
    assert found == Aimed({"first": 16, "second": 16}, 0.5)
    words = "no narrower student has 0.4x latency: at most 0.50x measured"
    assert found.words(0.4) == words
    assert Aimed({}, 0.391).words(0.4) == "aimed at 0.4x latency: at most 0.39x measured"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(
            lambda sizes: 0.8 + 0.001 * sum(sizes.values()), {"first": 32, "second": 16}, id="none"
        ),
        pytest.param(
            lambda sizes: 0.41 + 0.01 * sizes["first"], {"first": 4, "second": 16}, id="first alone"
        ),
        pytest.param(
            lambda sizes: 0.5 + 0.01 * sum(sizes.values()), {"first": 4, "second": 4}, id="both"
        ),
    ],
)
def test_where_nobody_wished_for_a_latency_each_step_has_to_pay(
    rule: Callable[[Sizes], float], expected: Sizes
) -> None:
    """None reaches 0.4; what is hardly faster is not worth what it forgets."""
    assert aim(GROUPS, aim_of(Distillation()), Machine(rule).ratios).sizes == expected


def test_what_is_fast_enough_by_a_hair_is_narrowed_further() -> None:
    """Measured again, at another time, it may be a tenth slower."""
    machine = Machine(lambda sizes: 0.4 * share(sizes) / share({"first": 32, "second": 16}))
    assert aim(GROUPS, aim_of(Distillation()), machine.ratios).sizes == {"first": 16, "second": 16}


def test_the_search_ends_at_the_narrowest() -> None:
    machine = Machine(lambda sizes: 1 + 0.001 * sum(sizes.values()))
    assert aim(GROUPS, wished(1.0, 0.1), machine.ratios).sizes == {"first": 4, "second": 4}


def test_of_many_groups_each_is_tried_a_few_times_only() -> None:
    groups = {f"layer{number}": 16 for number in range(30)}
    machine = Machine(lambda sizes: 1 + 0.001 * sum(sizes.values()))
    aim(groups, wished(1.0, 0.1), machine.ratios)
    assert sum(map(len, machine.asked)) < 4 * len(groups)


def test_a_model_without_channels_to_spare_is_measured_and_left() -> None:
    nothing = aim({}, wished(0.25, 0.4), lambda choices: [1.0] * len(choices))
    assert nothing == Aimed({}, 1.0)
