"""Hugging Face folders: config.json and safetensors. One of transformers' owner files.

Nothing is asked of a hub, and no code of the folder runs.
"""

import contextlib
import inspect
import warnings
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from slipway.api.v1alpha1.model import InputDatatype, ModelInput
from slipway_optimizer.convert import inputs
from slipway_optimizer.convert.order import ConvertOrder
from slipway_optimizer.failures import Refused

_TEXT: Final = ("input_ids", "attention_mask", "token_type_ids")


class _Flat(torch.nn.Module):  # type: ignore[misc] # untyped where torch is not installed
    """A model that takes its inputs by position and gives its outputs as a tuple."""

    takes_any = True

    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *tensors: Any) -> Any:
        """The tensors of the model's answer, in order."""
        answer = self.model(**dict(zip(self.names, tensors, strict=True)), return_dict=True)
        return tuple(value for value in answer.values() if isinstance(value, torch.Tensor))


def open_model(
    folder: Path, order: ConvertOrder
) -> tuple[torch.nn.Module, tuple[ModelInput, ...], tuple[str, ...]]:
    """The model of a folder, its inputs, and the names of its outputs.

    Raises:
        Refused: ``ConversionFailed``, ``InputsUnknown``.
    """
    config = _config(folder)
    model = _model(folder, config)
    asked = order.inputs or _inputs(model, config)
    flat = _Flat(model, tuple(value.name for value in asked)).eval()
    return flat, asked, _outputs(model, asked)


def _outputs(model: Any, asked: tuple[ModelInput, ...]) -> tuple[str, ...]:
    """Names of what it answers; none when it refuses made-up inputs: the exporter tells why."""
    for size in inputs.sizes(asked):
        fed = {
            value.name: torch.from_numpy(inputs.example(value, batch=2, open_size=size))
            for value in asked
        }
        with contextlib.suppress(Exception):  # a model raises anything; another size may do
            answer = model(**fed, return_dict=True)
            return tuple(name for name, value in answer.items() if isinstance(value, torch.Tensor))
    return ()


def _config(folder: Path) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # what its readers happen to raise
        raise Refused(
            "ConversionFailed",
            "transformers does not know the model of this config.json (code that comes with a "
            "model is not run): export it to ONNX, or set spec.model.loader",
        ) from error


def _model(folder: Path, config: Any) -> Any:
    (name, *_) = config.architectures or ["AutoModel"]
    kind = getattr(transformers, name, None)
    if kind is None:
        raise Refused(
            "ConversionFailed",
            f"transformers {transformers.__version__} has no architecture '{name}': export the "
            "model to ONNX, or set spec.model.loader",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                attn_implementation="eager",
                dtype=torch.float32,
            ).eval()
        except Exception as error:
            text = str(error).partition("\n")[0][:200]
            raise Refused(
                "ConversionFailed",
                f"transformers cannot load {name} from the folder ({text}): upload the whole "
                "folder that save_pretrained wrote",
            ) from error


def _inputs(model: Any, config: Any) -> tuple[ModelInput, ...]:
    takes = inspect.signature(model.forward).parameters
    if "pixel_values" in takes:
        side, channels = getattr(config, "image_size", None), getattr(config, "num_channels", 3)
        if side:
            height, width = side if isinstance(side, list | tuple) else (side, side)
            return (ModelInput(name="pixel_values", shape=(-1, channels, height, width)),)
    if "input_values" in takes:
        return (ModelInput(name="input_values", shape=(-1, -1)),)
    names = [name for name in _TEXT if name in takes]
    if getattr(config, "type_vocab_size", 0) < 2 and "token_type_ids" in names:
        names.remove("token_type_ids")
    if "input_ids" not in names or getattr(config, "is_encoder_decoder", False):
        raise Refused(
            "InputsUnknown",
            f"the inputs of a {type(model).__name__} are not known here: set spec.model.inputs, or "
            "export it to ONNX",
        )
    return tuple(
        ModelInput(name=name, datatype=InputDatatype.INT64, shape=(-1, -1)) for name in names
    )
