"""Writes a small network's checkpoint and MindIR. Runs in the framework's environment."""

import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
LOADER = """
import mindspore
from mindspore import nn


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(4, 3)
        self.relu = nn.ReLU()

    def construct(self, rows):
        return self.relu(self.dense(rows))


def load(path):
    net = Net()
    mindspore.load_param_into_net(net, mindspore.load_checkpoint(str(path)))
    return net
"""


def main() -> None:
    (FOLDER / "load.py").write_text(LOADER)
    sys.path.insert(0, str(FOLDER))
    import load
    import mindspore
    import numpy as np

    net = load.Net()
    mindspore.save_checkpoint(net, str(FOLDER / "net.ckpt"))
    rows = mindspore.Tensor(np.zeros((1, 4), np.float32))
    mindspore.export(net, rows, file_name=str(FOLDER / "net"), file_format="MINDIR")


main()
