"""One Olive workflow with one quantisation pass; runs in Olive's own environment.

    python olive_pass.py MODEL ROWS.NPZ OUTPUT_FOLDER dynamic|static

``ROWS.NPZ`` holds one array per input, rows first: what the static pass calibrates on. Everything
else is as Olive has it. Olive says what it wrote in the folder's JSON files; a pass that fails ends
without a model.
"""

import sys
from typing import Any

import numpy as np
from olive.data.registry import Registry
from olive.workflows import run
from torch.utils.data import Dataset

PASSES = {"dynamic": "OnnxDynamicQuantization", "static": "OnnxStaticQuantization"}


class _Rows(Dataset):  # type: ignore[type-arg,misc]  # torch is not installed where this is checked
    def __init__(self, path: str) -> None:
        with np.load(path) as held:
            self._arrays = {name: held[name] for name in held.files}

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    def __getitem__(self, row: int) -> tuple[dict[str, Any], int]:
        return {name: array[row] for name, array in self._arrays.items()}, 0


@Registry.register_dataset("npz_rows")
def npz_rows(path: str, **_: Any) -> _Rows:
    """The rows as Olive's data sets are: a dict of inputs, and a label that nobody reads."""
    return _Rows(path)


def main(model: str, rows: str, output: str, kind: str) -> None:
    """Run the workflow."""
    wished: dict[str, Any] = {"type": PASSES[kind]}
    if kind == "static":
        wished["data_config"] = "rows"
    run(
        {
            "input_model": {"type": "ONNXModel", "model_path": model},
            "data_configs": [
                {
                    "name": "rows",
                    "type": "DataContainer",
                    "load_dataset_config": {"type": "npz_rows", "params": {"path": rows}},
                    "dataloader_config": {"params": {"batch_size": 1}},
                }
            ],
            "passes": {"quantize": wished},
            "output_dir": output,
            "cache_dir": f"{output}-cache",
            "log_severity_level": 2,
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
