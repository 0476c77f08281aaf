"""The chart's page from the comments of its values."""

from slipway_operator.reference.values import chart_page

VALUES = """# Every value.

# How many.
count: 2

group:
  # The first.
  # And more of it.
  one: ""
  two: [1] # beside
  deep:
    three: {}
# Examples follow.
list: []
#  - name: x
"""


def test_each_value_has_its_path_default_and_comment() -> None:
    rows = [line for line in chart_page(VALUES).splitlines() if line.startswith("| `")]
    assert rows == [
        "| `count` | `2` | How many. |",
        '| `group.one` | `""` | The first. And more of it. |',
        "| `group.two` | `[1]` | beside |",
        "| `group.deep.three` | `{}` |  |",
        "| `list` | `[]` | Examples follow. |",
    ]
