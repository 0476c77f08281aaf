"""Exit codes and sentences of the program; never a traceback."""

from pathlib import Path

import pytest

from slipway_cli.__main__ import main

CONFIG = """\
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: a, cluster: {server: "SERVER"}}]
users: [{name: a, user: {token: x}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
"""


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["describe"], ["get", "-o", "xml"], ["predict", "m"]]
)
def test_wrong_usage_ends_with_64_and_the_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 64
    assert capsys.readouterr().err.startswith("usage: slipway")


@pytest.mark.parametrize(
    "text",
    [
        "a: [b\n",
        "\x00",
        "- 1\n",
        "",
        CONFIG.replace('"SERVER"', '"https://127.0.0.1:1", certificate-authority: /absent/ca.crt'),
        CONFIG.replace('"SERVER"', '"https://127.0.0.1:1", certificate-authority-data: bm90'),
    ],
)
def test_a_kubeconfig_that_is_none_is_one_sentence(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    assert main(["get", "--kubeconfig", str(path)]) == 65
    told = capsys.readouterr().err
    assert told.startswith("slipway: no access to a cluster: ")
    assert told.count("\n") == 1


def test_a_cluster_that_does_not_answer_is_worth_another_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config"
    path.write_text(CONFIG.replace("SERVER", "http://127.0.0.1:1"))
    assert main(["get", "--kubeconfig", str(path)]) == 75
    assert "the API server does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "--data is not JSON"),
        ("{}", "--data must be a v2 request"),
        ('{"inputs": 1}', "--data must be a v2 request"),
        ("absent.json", "--data absent.json: No such file or directory"),
        ("x" * 5000, "File name too long"),
        ("a\x00b", "--data is not JSON"),
    ],
)
def test_wrong_data_is_named_before_anybody_is_asked(
    data: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "m", "--url", "http://127.0.0.1:1", "--data", data]) == 65
    assert message in capsys.readouterr().err


def test_a_url_of_another_scheme_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "m", "--url", "file:///etc", "--data", '{"inputs": []}']) == 65
    assert "must start with http" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file or directory"),
        ("a: [b", "is not YAML"),
        ("", "no ModelDeployment in"),
        ("- 1", "is no Kubernetes object"),
        ("{kind: Pod, apiVersion: v1, metadata: {name: p}}", "means nothing in local mode"),
    ],
)
def test_a_file_for_local_mode_is_refused_by_name(
    text: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["local", "run", "-f", str(path)]) == 65
    told = capsys.readouterr().err
    assert message in told
    assert str(path) in told
