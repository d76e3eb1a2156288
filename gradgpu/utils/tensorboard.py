"""`SummaryWriter`: logs for TensorBoard, written by tensorboardX (install `gradgpu[tensorboard]`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

try:
    from tensorboardX import SummaryWriter as _Writer
    from tensorboardX.proto.attr_value_pb2 import AttrValue
    from tensorboardX.proto.graph_pb2 import GraphDef
    from tensorboardX.proto.node_def_pb2 import NodeDef
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboardX.proto.versions_pb2 import VersionDef
except ImportError as error:
    raise ImportError("gradgpu.utils.tensorboard needs tensorboardX: pip install tensorboardX") from error

from ..autograd.engine import discover
from ..autograd.modes import enable_grad
from ..autograd.node import LEAF, SELECT, Node, next_sequence
from ..nn.module import Module
from ..tensor import Tensor
from ._pytree import tree_flatten

__all__ = ["SummaryWriter"]


def _plain(value: Any) -> Any:
    """Tensors as numpy arrays, also inside lists and dicts."""
    if isinstance(value, Tensor):
        return value.detach().cpu().float().numpy() if value.is_floating_point() else value.cpu().numpy()
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def _taking_tensors(add: Callable) -> Callable:
    @functools.wraps(add)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return add(self, *map(_plain, args), **_plain(kwargs))

    return method


def _graph(model: Module, arguments: Sequence[Any]) -> GraphDef:
    """What the call records: a node an operation, a parameter, an input and an output. A module's operations are those recorded
    between its beginning and its end, so that their sequence numbers tell."""
    inputs = [
        x.detach().requires_grad_() if isinstance(x, Tensor) and x.is_floating_point() else x
        for x in arguments
    ]
    root = type(model).__name__
    begun: list[int] = []
    calls: list[tuple[int, int, str]] = []  # of modules, by their end: first and last number, name
    modes = [(module, module.training) for module in model.modules()]
    handles = []
    for name, module in model.named_modules():
        scope = "/".join([root, *name.split(".")]) if name else root

        def ends(module: Any, args: Any, result: Any, scope: str = scope) -> None:
            calls.append((begun.pop(), next_sequence(), scope))

        handles.append(module.register_forward_pre_hook(lambda module, args: begun.append(next_sequence())))
        handles.append(module.register_forward_hook(ends))
    try:
        with enable_grad():
            outputs = [x for x in tree_flatten(model.eval()(*inputs))[0] if isinstance(x, Tensor)]
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training

    def node_of(tensor: Tensor) -> Any:
        return tensor if tensor._edge is LEAF else tensor._edge

    def passed(edge: Any) -> Any:
        while type(edge) is Node and edge.op is SELECT:
            (edge,) = edge.edges
        return edge

    ends_at = [passed(node_of(x)) for x in outputs]
    order = [node for node in discover([e for e in ends_at if type(e) is Node]) if node.op is not SELECT]
    names: dict[int, str] = {id(x): f"input/{k}" for k, x in enumerate(inputs) if isinstance(x, Tensor)}
    leaves: dict[int, Tensor] = {id(x): x for x in inputs if isinstance(x, Tensor)}
    parameters = {id(p): "/".join([root, *name.split(".")]) for name, p in model.named_parameters()}
    for node in order:
        scope = next((scope for first, last, scope in calls if first > node.seq > last), root)
        names[id(node)] = f"{scope}/{node.name().removesuffix('0').removesuffix('Backward')}_{len(names)}"
        for edge in node.edges:
            if isinstance(edge, Tensor):
                names.setdefault(id(edge), parameters.get(id(edge), f"{root}/leaf_{len(names)}"))
                leaves[id(edge)] = edge

    def made(name: str, op: str, sources: Sequence[Any] = (), tensor: Tensor | None = None) -> NodeDef:
        attr = {}
        if tensor is not None:
            shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in tensor.shape])
            attr["_output_shapes"] = AttrValue(list=AttrValue.ListValue(shape=[shape]))
        known = [names[id(edge)] for edge in map(passed, sources) if id(edge) in names]
        return NodeDef(name=name, op=op, input=known, attr=attr)

    nodes = [
        made(names[key], "Parameter" if key in parameters else "IO Node", tensor=x)
        for key, x in leaves.items()
    ]
    nodes += [
        made(names[id(node)], names[id(node)].rpartition("/")[2].rpartition("_")[0], node.edges)
        for node in order
    ]
    nodes += [made(f"output/{k}", "IO Node", [edge], x) for k, (edge, x) in enumerate(zip(ends_at, outputs))]
    return GraphDef(node=nodes, versions=VersionDef(producer=22))


class SummaryWriter(_Writer):
    """tensorboardX's writer, whose `add_scalar`, `add_histogram`, `add_image` and so on take Tensors too.

    Example:
        >>> from gradgpu.utils.tensorboard import SummaryWriter    # doctest: +SKIP
        >>> with SummaryWriter("runs/first") as writer:            # doctest: +SKIP
        ...     writer.add_scalar("loss", gg.tensor(0.5), 1)
    """

    @property
    def log_dir(self) -> str:
        """The folder of the logs."""
        return self.logdir

    def get_logdir(self) -> str:
        """The folder of the logs."""
        return self.logdir

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """Logs a number, as float32; `new_style` and `double_precision` are accepted and change nothing."""
        super().add_scalar(tag, _plain(scalar_value), global_step, walltime)

    def add_hparams(
        self,
        hparam_dict: dict,
        metric_dict: dict,
        hparam_domain_discrete: dict | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """Logs hyperparameters and what they led to, in a run of their own. The values that a hyperparameter may have,
        `hparam_domain_discrete`, are not logged."""
        super().add_hparams(_plain(hparam_dict), _plain(metric_dict), run_name, global_step)

    def add_graph(
        self, model: Module, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> None:
        """Draws the operations that `model(input_to_model)` records, grouped by the modules that call them.

        The model runs once, in evaluation mode. Operations that no gradient flows through are not seen.

        Args:
            input_to_model: a tensor, or a tuple of arguments.
            verbose: prints the graph.
            use_strict_trace: accepted: nothing is traced by a compiler.
        """
        graph = _graph(
            model, input_to_model if isinstance(input_to_model, (tuple, list)) else (input_to_model,)
        )
        if verbose:
            print(graph)
        self._get_file_writer().add_onnx_graph(graph)


for _name in (
    "audio",
    "embedding",
    "figure",
    "histogram",
    "image",
    "images",
    "mesh",
    "pr_curve",
    "scalars",
    "text",
    "video",
):
    setattr(SummaryWriter, f"add_{_name}", _taking_tensors(getattr(_Writer, f"add_{_name}")))
