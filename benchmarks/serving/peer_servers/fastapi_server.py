"""What people write by hand: FastAPI, pydantic and uvicorn, Open Inference Protocol JSON only."""

import os
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sessions import DATATYPES, paths, session

app = FastAPI()
SESSIONS = {name: session(path) for name, path in paths().items()}
TYPES = {datatype: name for name, datatype in DATATYPES.items()}


class Tensor(BaseModel):
    """An input."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class Request(BaseModel):
    """An inference request."""

    inputs: list[Tensor]


@app.get("/v2/health/ready")
def ready() -> dict[str, bool]:
    """Readiness."""
    return {"ready": True}


@app.post("/v2/models/{name}/infer")
def infer(name: str, request: Request) -> dict[str, Any]:
    """Run a model."""
    used = SESSIONS[name]
    feeds = {
        item.name: np.array(item.data, TYPES[item.datatype]).reshape(item.shape)
        for item in request.inputs
    }
    outputs = [
        {
            "name": node.name,
            "shape": list(array.shape),
            "datatype": DATATYPES[str(array.dtype)],
            "data": array.ravel().tolist(),
        }
        for node, array in zip(used.get_outputs(), used.run(None, feeds), strict=True)
    ]
    return {"model_name": name, "outputs": outputs}


if __name__ == "__main__":
    port = int(os.environ["BENCH_HTTP"])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
