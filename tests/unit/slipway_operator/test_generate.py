"""Files that follow from the models: complete, checked, and with least rights."""

import shutil
from pathlib import Path

import pytest
import yaml

from slipway.api.crd import crd
from slipway_operator import generate
from slipway_operator.kube.kinds import KINDS, KindInfo

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the generator reads, and nothing that it wrote."""
    shutil.copytree(REPOSITORY / "charts/slipway/argocd", tmp_path / "charts/slipway/argocd")
    shutil.copy(REPOSITORY / "charts/slipway/values.yaml", tmp_path / "charts/slipway")
    return tmp_path


def test_the_files_of_this_tree_are_what_the_models_say() -> None:
    assert list(generate.differing(REPOSITORY)) == []


def test_written_files_pass_the_check(copy: Path) -> None:
    assert generate.main(["--write", "--root", str(copy)]) == 0
    assert generate.main(["--check", "--root", str(copy)]) == 0


def test_nothing_is_written_twice(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate.main(["--write", "--root", str(copy)])
    assert "wrote crds/modeldeployments.yaml" in capsys.readouterr().out
    generate.main(["--write", "--root", str(copy)])
    assert capsys.readouterr().out == ""


def test_the_check_names_a_file_that_was_edited_and_the_remedy(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.main(["--write", "--root", str(copy)])
    edited = copy / "docs/reference/api.md"
    edited.write_text(edited.read_text() + "\n")
    assert generate.main(["--check", "--root", str(copy)]) == 1
    assert capsys.readouterr().err == (
        "docs/reference/api.md is not what the models say: run "
        "`python -m slipway_operator.generate --write`\n"
    )


def test_the_check_names_a_file_that_is_missing(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.main(["--write", "--root", str(copy)])
    (copy / "crds/modeldeployments.yaml").unlink()
    assert generate.main(["--check", "--root", str(copy)]) == 1
    assert "crds/modeldeployments.yaml" in capsys.readouterr().err


def test_every_file_says_that_it_is_generated() -> None:
    heads = {path: text[:200] for path, text in generate.files(REPOSITORY).items()}
    assert [path for path, head in heads.items() if "do not edit" not in head] == []


def test_the_crd_for_kubectl_is_the_crd() -> None:
    text = generate.files(REPOSITORY)["crds/modeldeployments.yaml"]
    assert yaml.safe_load(text) == crd()
    assert len(text) < 200_000


def test_kinds_of_equal_rights_share_a_rule_and_subresources_have_their_own() -> None:
    kinds = [
        KindInfo("A", "g", "v1", "as", ("get",), subresources=(("status", ("patch",)),)),
        KindInfo("B", "g", "v1", "bs", ("get",)),
        KindInfo("C", "", "v1", "cs", ("get",)),
    ]
    assert generate.rules(kinds) == [
        {"apiGroups": ["g"], "resources": ["as", "bs"], "verbs": ["get"]},
        {"apiGroups": ["g"], "resources": ["as/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["cs"], "verbs": ["get"]},
    ]


def test_no_right_reaches_secrets_logs_or_shells_and_none_is_a_wildcard() -> None:
    granted = generate.rules(KINDS.values())
    resources = {name for rule in granted for name in rule["resources"]}
    words = {word for rule in granted for part in rule.values() for word in part}
    assert resources.isdisjoint({"secrets", "pods/exec", "pods/log", "pods/attach", "roles"})
    assert not [word for word in words if "*" in word]
    assert words.isdisjoint({"escalate", "bind", "impersonate", "deletecollection"})


def test_the_reference_names_every_field_of_the_spec() -> None:
    page = generate.files(REPOSITORY)["docs/reference/api.md"]

    def fields(node: dict[str, object], path: str) -> list[str]:
        found = []
        properties = node.get("properties")
        for name, child in properties.items() if isinstance(properties, dict) else ():
            here = f"{path}.{name}"
            inner = child.get("items", child)
            found += [here, *fields(inner, here + ("[]" if "items" in child else ""))]
        return found

    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    for part in ("spec", "status"):
        assert [f for f in fields(schema[part], part) if f"| `{f}` |" not in page] == []
