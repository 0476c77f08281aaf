"""What each image installs, by its lock file: an image has its own framework and no other."""

from pathlib import Path

import pytest

RUNTIME = Path(__file__).resolve().parents[3] / "runtime-image"
FRAMEWORKS = {"torch", "tensorflow-cpu", "tensorflow", "mindspore", "scikit-learn", "jax"}


def locked(image: str) -> set[str]:
    text = (RUNTIME / f"requirements-{image}.txt").read_text()
    return {line.partition("==")[0] for line in text.splitlines() if line[:1].isalpha()}


@pytest.mark.parametrize(
    ("image", "frameworks"),
    [
        ("server", set()),
        ("optimizer", set()),
        ("optimizer-classic", {"scikit-learn"}),
        ("optimizer-torch", {"torch"}),
        ("optimizer-tensorflow", {"tensorflow-cpu"}),
        ("optimizer-mindspore", {"mindspore"}),
        *(
            (f"{program}-{provider}", set())
            for program in ("server", "optimizer")
            for provider in ("openvino", "cuda")
        ),
    ],
)
def test_an_image_has_its_own_framework_and_no_other(image: str, frameworks: set[str]) -> None:
    assert locked(image) & FRAMEWORKS == frameworks


@pytest.mark.parametrize(
    "path",
    sorted({*RUNTIME.glob("requirements-*.txt")} - {RUNTIME / "requirements-compile.txt"}),
    ids=lambda path: path.stem,
)
def test_an_image_has_one_onnx_runtime(path: Path) -> None:
    """The builds for other providers write the same files as the plain one."""
    names = locked(path.stem.removeprefix("requirements-"))
    build = next((b for b in ("-openvino", "-gpu") if b.replace("gpu", "cuda") in path.stem), "")
    assert {n for n in names if n.startswith("onnxruntime")} == {f"onnxruntime{build}"}


def test_no_image_but_torch_s_and_cuda_s_has_cuda() -> None:
    for path in RUNTIME.glob("requirements-*.txt"):
        if "torch" not in path.name and "cuda" not in path.name:
            names = locked(path.stem.removeprefix("requirements-"))
            assert not [name for name in names if name.startswith(("nvidia", "cuda"))], path.name


def test_torch_can_be_installed_without_cuda() -> None:
    program: dict[str, object] = {"__name__": "without_cuda"}
    exec((RUNTIME / "without-cuda.py").read_text(), program)
    kept, torch = program["without_cuda"](  # type: ignore[operator] # it is a function
        (RUNTIME / "requirements-optimizer-torch.txt").read_text()
    )
    assert torch.startswith("torch==")
    assert "nvidia" not in kept
    assert "\ntorch==" not in kept
    assert "transformers==" in kept
