"""Reference pages: tables that render, with every bound in them."""

from slipway_operator.reference import pages


def row(page: str, first: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(f"| `{first}` |"))


def test_a_field_has_type_default_bounds_and_meaning() -> None:
    assert row(pages.api_page(), "spec.revisionHistoryLimit") == (
        "| `spec.revisionHistoryLimit` | int | `5` | 0..100 | Old revisions to keep for rollback. |"
    )


def test_a_pipe_in_a_pattern_does_not_end_its_cell() -> None:
    line = row(pages.api_page(), "spec.model.storageUri")
    assert r"`^(s3\|file)://[^\s]+$`" in line
    assert "**required**" in line


def test_a_list_says_what_makes_its_items_unique() -> None:
    line = row(pages.api_page(), "spec.validation.gates")
    assert "| list of object |  | at most 16 items, unique `name` |" in line


def test_a_rule_shows_where_its_values_go() -> None:
    assert (
        "| `spec.autoscaling` | minReplicas `minReplicas` is above maxReplicas `maxReplicas`: "
        "lower it, or raise maxReplicas |" in pages.api_page()
    )


def test_the_operators_metrics_are_read_from_what_it_exposes() -> None:
    exposed = (
        "# HELP slipway_x_total Things done.\n# TYPE slipway_x_total counter\nslipway_x_total 1\n"
        "# HELP slipway_x_created Things done.\n# TYPE slipway_x_created gauge\n"
    )
    page = pages.metrics_page(exposed)
    assert "| `slipway_x_total` | counter | Things done. |" in page
    assert "slipway_x_created" not in page
