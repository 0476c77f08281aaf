"""Small ONNX models with one property each."""

from collections.abc import Sequence

from onnx import ModelProto, NodeProto, TensorProto, helper

Shape = Sequence[int | str]


def double(shape: Shape = ("N", 2)) -> bytes:
    """y = 2 x."""
    nodes = [
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Mul", ["x", "two"], ["y"]),
    ]
    return _model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)])


def logarithm() -> bytes:
    """y = ln x: NaN below zero, infinite at zero."""
    nodes = [helper.make_node("Log", ["x"], ["y"])]
    shape = ("N", 2)
    return _model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)])


def same(datatype: int, shape: Shape = ("N", 2)) -> bytes:
    """y = x, of any ONNX element type."""
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return _model(nodes, [("x", datatype, shape)], [("y", datatype, shape)])


def halves() -> bytes:
    """y = 2 x, where x is BF16 and y is BF16, and z = x as FP32."""
    nodes = [
        helper.make_node("Cast", ["x"], ["z"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["z", "z"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["y"], to=TensorProto.BFLOAT16),
    ]
    shape = ("N", 2)
    return _model(
        nodes,
        [("x", TensorProto.BFLOAT16, shape)],
        [("y", TensorProto.BFLOAT16, shape), ("z", TensorProto.FLOAT, shape)],
    )


def places() -> bytes:
    """p = the places of the numbers that are not 0: as many as there are, also none."""
    nodes = [helper.make_node("NonZero", ["x"], ["p"])]
    return _model(
        nodes, [("x", TensorProto.FLOAT, ("N",))], [("p", TensorProto.INT64, (1, "found"))]
    )


def text() -> bytes:
    """t = s, for strings."""
    nodes = [helper.make_node("Identity", ["s"], ["t"])]
    string = TensorProto.STRING
    return _model(nodes, [("s", string, ("N",))], [("t", string, ("N",))])


def pick() -> bytes:
    """value = row[place] for each row, and the place again: two inputs, two outputs."""
    nodes = [
        helper.make_node("GatherElements", ["row", "place"], ["value"], axis=1),
        helper.make_node("Identity", ["place"], ["again"]),
    ]
    return _model(
        nodes,
        [("row", TensorProto.DOUBLE, ("N", 3)), ("place", TensorProto.INT64, ("N", 1))],
        [("value", TensorProto.DOUBLE, ("N", 1)), ("again", TensorProto.INT64, ("N", 1))],
    )


def normalised() -> bytes:
    """y = x / sum of all of x: every row changes every answer, so it must not be batched."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Div", ["x", "sum"], ["y"]),
    ]
    shape = ("N", 2)
    return _model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)])


def slow() -> bytes:
    """y = x after as many turns of a loop as the first number of x says."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["state", "eye"], ["product"]),
            helper.make_node("Softmax", ["product"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [64, 64]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [64, 64]),
        ],
    )
    nodes = [
        helper.make_node("Constant", [], ["side"], value_ints=[64, 64]),
        helper.make_node("ConstantOfShape", ["side"], ["start"]),
        helper.make_node("EyeLike", ["start"], ["eye"]),
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Constant", [], ["unused"], value_int=1),
        helper.make_node("Cast", ["unused"], ["yes"], to=TensorProto.BOOL),
        helper.make_node("Loop", ["turns", "yes", "start"], ["end"], body=body),
        helper.make_node("ReduceSum", ["end"], ["sum"], keepdims=0),
        helper.make_node("Constant", [], ["zero"], value_float=0.0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    shape = (1, 2)
    return _model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)])


def heavy(width: int = 1024) -> bytes:
    """y = x, after three products with large matrices of zeros: about a millisecond."""
    nodes = []
    for name, sides in (("first", (2, width)), ("middle", (width, width)), ("last", (width, 2))):
        nodes.append(helper.make_node("Constant", [], [f"{name}_shape"], value_ints=sides))
        nodes.append(helper.make_node("ConstantOfShape", [f"{name}_shape"], [name]))
    nodes += [
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("MatMul", ["a", "middle"], ["b"]),
        helper.make_node("MatMul", ["b", "middle"], ["c"]),
        helper.make_node("MatMul", ["c", "last"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    shape = ("N", 2)
    return _model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)])


def running_sum() -> bytes:
    """y = the sum of the rows so far: the first dimension is dynamic and is time, no batch."""
    nodes = [
        helper.make_node("Constant", [], ["first"], value_int=0),
        helper.make_node("CumSum", ["x", "first"], ["y"]),
    ]
    shape = ("T", 2)
    return _model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)])


def stateful() -> bytes:
    """y = x + h, with the next state h2 = y: a cell whose state has its rows second."""
    number = TensorProto.FLOAT
    nodes = [
        helper.make_node("Constant", [], ["first"], value_ints=[0]),
        helper.make_node("Squeeze", ["h", "first"], ["rows"]),
        helper.make_node("Add", ["x", "rows"], ["y"]),
        helper.make_node("Unsqueeze", ["y", "first"], ["h2"]),
    ]
    return _model(
        nodes,
        [("x", number, ("N", 2)), ("h", number, (1, "N", 2))],
        [("y", number, ("N", 2)), ("h2", number, (1, "N", 2))],
    )


def shares() -> bytes:
    """y = x / the sum of its row, for rows of any length: those of one length may share a run."""
    nodes = [
        helper.make_node("Constant", [], ["last"], value_ints=[1]),
        helper.make_node("ReduceSum", ["x", "last"], ["sum"], keepdims=1),
        helper.make_node("Div", ["x", "sum"], ["y"]),
    ]
    shape = ("N", "T")
    return _model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)])


def total() -> bytes:
    """y = the sum of all of x: an output without rows."""
    nodes = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]
    return _model(nodes, [("x", TensorProto.FLOAT, ("N", 2))], [("y", TensorProto.FLOAT, ())])


def half_plus_three() -> bytes:
    """y = x / 2 + 3: the model of TensorFlow Serving's documentation."""
    nodes = [
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Constant", [], ["three"], value_float=3.0),
        helper.make_node("Mul", ["x", "half"], ["product"]),
        helper.make_node("Add", ["product", "three"], ["y"]),
    ]
    shape = ("N",)
    return _model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)])


def three_inputs() -> bytes:
    """The inputs of TensorFlow Serving's example: the tag again, and the sum of the numbers."""
    number = TensorProto.FLOAT
    nodes = [
        helper.make_node("Identity", ["tag"], ["tag_bytes"]),
        helper.make_node("Constant", [], ["all"], value_ints=[1]),
        helper.make_node("Constant", [], ["both"], value_ints=[1, 2]),
        helper.make_node("ReduceSum", ["signal", "all"], ["first"], keepdims=0),
        helper.make_node("ReduceSum", ["sensor", "both"], ["second"], keepdims=0),
        helper.make_node("Add", ["first", "second"], ["sum"]),
    ]
    return _model(
        nodes,
        [
            ("tag", TensorProto.STRING, ("N",)),
            ("signal", number, ("N", 5)),
            ("sensor", number, ("N", 2, 2)),
        ],
        [("tag_bytes", TensorProto.STRING, ("N",)), ("sum", number, ("N",))],
    )


def size() -> bytes:
    """n = how many bytes x has: what a model of encoded images takes."""
    nodes = [helper.make_node("Shape", ["x"], ["n"])]
    return _model(nodes, [("x", TensorProto.UINT8, ("bytes",))], [("n", TensorProto.INT64, (1,))])


def add() -> bytes:
    """y = x1 + x2 of two fixed 2 x 2 tensors: the model of MindSpore Serving's documentation."""
    nodes = [helper.make_node("Add", ["x1", "x2"], ["y"])]
    number = TensorProto.FLOAT
    inputs: list[tuple[str, int, Shape]] = [("x1", number, (2, 2)), ("x2", number, (2, 2))]
    return _model(nodes, inputs, [("y", number, (2, 2))])


def _model(
    nodes: list[NodeProto],
    inputs: list[tuple[str, int, Shape]],
    outputs: list[tuple[str, int, Shape]],
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    data: bytes = model.SerializeToString()
    return data
