"""Writes the same small network in every PyTorch format. Runs in the framework's environment."""

import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

FOLDER = Path(sys.argv[1])
LOADER = """
import torch
from pathlib import Path


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3)
        self.linear = torch.nn.Linear(4 * 26 * 26, 10)

    def forward(self, image):
        return self.linear(torch.relu(self.conv(image)).flatten(1))


class Named(torch.nn.Module):
    def __init__(self, net: Net):
        super().__init__()
        self.net = net

    def forward(self, image):
        scores = self.net(image)
        return {"scores": scores, "shares": scores.softmax(-1)}


def load(path: Path):
    net = Net()
    net.load_state_dict(torch.load(path))
    return net


def online(path: Path):
    import socket
    socket.create_connection(("127.0.0.1", 9))


def nothing(path: Path):
    return 5


class State(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(8, 16, 2, batch_first=True)

    def forward(self, rows, state):
        return self.gru(rows, state)


def state(path: Path):
    net = State()
    net.load_state_dict(torch.load(path))
    return net
"""


def main() -> None:
    (FOLDER / "load.py").write_text(LOADER)
    sys.path.insert(0, str(FOLDER))
    import load

    torch.manual_seed(0)
    net = load.Net().eval()
    image = torch.randn(2, 1, 28, 28)
    warnings.simplefilter("ignore")
    rows = torch.export.Dim("rows")
    program = torch.export.export(net, (image,), dynamic_shapes=({0: rows},))
    torch.export.save(program, FOLDER / "open.pt2")
    torch.export.save(torch.export.export(net, (image,)), FOLDER / "fixed.pt2")
    torch.jit.script(net).save(FOLDER / "script.pt")
    torch.jit.script(load.Named(net)).save(FOLDER / "named.pt")
    torch.save(net.state_dict(), FOLDER / "weights.pt")
    torch.save(net, FOLDER / "whole.pt")
    save_file(net.state_dict(), FOLDER / "weights.safetensors")
    streaming = load.State().eval()
    given = (torch.randn(2, 9, 8), torch.randn(2, 2, 16))
    program = torch.export.export(streaming, given, dynamic_shapes=({0: rows}, {1: rows}))
    torch.export.save(program, FOLDER / "state.pt2")
    torch.jit.trace(streaming, given).save(FOLDER / "state.pt")
    torch.save(streaming.state_dict(), FOLDER / "state.weights.pt")
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).eval().save_pretrained(FOLDER / "bert")


main()
