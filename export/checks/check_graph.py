"""Checks of a SavedModel without loading it: its operations and its signatures.

A SavedModel is a program. An allowlist of operations shows that the exporter has put nothing into
it but arithmetic, and that a model brings nothing that a server has not got. It is a check of this
exporter's own work, no proof that a SavedModel from elsewhere is harmless.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf import saved_model_pb2

from ...utils.errors import UserError
from ..model.signature_specs import Specs, specs

PROTOBUF = "saved_model.pb"

# Nothing here reads or writes files, opens connections, runs other code or draws random numbers.
ALLOWED = frozenset(
    # Structure of a graph, and variables
    "Placeholder Const NoOp Identity IdentityN PartitionedCall StatefulPartitionedCall "
    "VarHandleOp ReadVariableOp ResourceGather PreventGradient StopGradient "
    # Branches and loops
    "If StatelessIf While StatelessWhile LoopCond "
    "TensorListReserve TensorListFromTensor TensorListStack TensorListGetItem TensorListSetItem "
    "TensorListElementShape TensorListLength EmptyTensorList TensorListPushBack TensorListPopBack "
    # Checks
    "Assert CheckNumerics CheckNumericsV2 EnsureShape "
    # Shapes
    "Shape ShapeN Size Rank Reshape ExpandDims Squeeze Transpose Pack Unpack Split SplitV ConcatV2 "
    "Slice StridedSlice Tile Fill ZerosLike OnesLike Range BroadcastTo BroadcastArgs Reverse "
    "ReverseV2 ReverseSequence GatherV2 GatherNd OneHot Pad PadV2 MirrorPad "
    "Where Select SelectV2 Cast Bitcast ScatterNd TensorScatterUpdate MatrixBandPart Cumsum "
    # Arithmetic
    "Add AddV2 AddN Sub Mul Div DivNoNan RealDiv FloorDiv FloorMod Mod Pow Square Sqrt Rsqrt "
    "Reciprocal SquaredDifference Neg Abs Sign Exp Expm1 Log Log1p Erf Erfc Maximum Minimum "
    "ClipByValue Round Floor Ceil Sin Cos Tan Tanh Sinh Cosh Atan Sigmoid Softplus Softsign Relu "
    "Relu6 LeakyRelu Elu Selu Softmax LogSoftmax BitwiseAnd BitwiseOr BitwiseXor LeftShift "
    "RightShift Invert "
    # Products and reductions
    "MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3 Einsum BiasAdd BiasAddV1 Sum Mean Prod Max Min "
    "All Any ArgMax ArgMin L2Loss TopKV2 Conv2D DepthwiseConv2dNative AvgPool MaxPool "
    "FusedBatchNormV3 "
    # Comparisons
    "Equal NotEqual Less LessEqual Greater GreaterEqual LogicalAnd LogicalOr LogicalNot IsNan "
    "IsInf IsFinite".split()
)
# What every SavedModel has for its variables; nothing else may call it.
SAVER = frozenset(
    "SaveV2 RestoreV2 MergeV2Checkpoints ShardedFilename StaticRegexFullMatch StringJoin Select "
    "AssignVariableOp DisableCopyOnRead".split()
)


def read_graph(folder: str | os.PathLike[str]) -> Any:
    """Reads the one graph of a SavedModel, a MetaGraphDef.

    Raises:
        UserError: There is none.
    """
    path = Path(folder, PROTOBUF)
    try:
        model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        (graph,) = model.meta_graphs
    except Exception as error:  # protobuf's own errors, a file that is missing
        raise UserError(f"check 'operations' failed: cannot read {str(path)!r}: {error}.") from None
    return graph


def check_operations(graph: Any) -> int:
    """Checks the operations against the allowlist; returns the number of their kinds.

    Raises:
        UserError: Some are not on it; they are named.
    """
    library = graph.graph_def.library
    functions = {function.signature.name: function.node_def for function in library.function}
    savers = _reached(_saver_nodes(graph), functions)
    found, refused = set(), set()
    for name, nodes in {"": graph.graph_def.node, **functions}.items():
        allowed = ALLOWED | SAVER if name in savers else ALLOWED
        operations = {node.op for node in nodes} - functions.keys()
        found |= operations
        refused |= operations - allowed
    if refused:
        raise UserError(
            f"check 'operations' failed: the graph has {', '.join(sorted(refused))}, which no "
            "served model may have: files and Python are out of its reach."
        )
    return len(found)


def _saver_nodes(graph: Any) -> list[Any]:
    """The nodes of the main graph with which the variables are saved and restored."""
    names = {graph.saver_def.save_tensor_name, graph.saver_def.restore_op_name}
    names = {name.partition(":")[0] for name in names}
    return [node for node in graph.graph_def.node if node.name in names]


def _reached(nodes: Iterable[Any], functions: Mapping[str, Iterable[Any]]) -> set[str]:
    """Names of the functions that some nodes call, also through others."""
    reached, waiting = set(), list(nodes)
    while waiting:
        node = waiting.pop()
        called = {node.op} | {name for value in node.attr.values() for name in _called(value)}
        for name in called & functions.keys() - reached:
            reached.add(name)
            waiting.extend(functions[name])
    return reached


def _called(value: Any) -> Iterator[str]:
    if value.HasField("func"):
        yield value.func.name
    for function in value.list.func:
        yield function.name


def check_signatures(graph: Any, record: dict[str, Any]) -> str:
    """Compares the signatures with those of export.json; returns their names.

    Raises:
        UserError: They, or their tensors, are not those of export.json.
    """
    defined = signatures_of(graph)
    if sorted(defined) != sorted(record["signatures"]):
        raise UserError(
            f"check 'signatures' failed: there are {sorted(defined)}, export.json says "
            f"{sorted(record['signatures'])}."
        )
    for name, expected in record["signatures"].items():
        got = {side: _with_open_sizes(tensors) for side, tensors in defined[name].items()}
        if got != expected:
            raise UserError(
                f"check 'signatures' failed: {name} is {got}, export.json says {expected}."
            )
    return ", ".join(record["signatures"])


def signatures_of(graph: Any) -> Specs:
    """The specs of a graph's signatures."""
    found = {
        name: MessageToDict(signature, preserving_proto_field_name=True)
        for name, signature in graph.signature_def.items()
    }
    return specs({"signature_def": found})


def _with_open_sizes(tensors: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Specs as export.json has them, with None for an open size."""
    return {
        name: {**spec, "shape": [None if size < 0 else size for size in spec["shape"] or ()]}
        for name, spec in tensors.items()
    }


def tensors_of(graph: Any) -> dict[str, dict[str, dict[str, str]]]:
    """{signature: {"inputs": {name: tensor of the graph}, "outputs": the same}}."""
    return {
        name: {
            "inputs": {n: info.name for n, info in sorted(signature.inputs.items())},
            "outputs": {n: info.name for n, info in sorted(signature.outputs.items())},
        }
        for name, signature in graph.signature_def.items()
        if not name.startswith("__")
    }
