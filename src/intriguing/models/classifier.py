"""The one way to ask a network: pixels in, logits out, and nothing of the caller's is changed.

Every analysis computes in float32, or in float64 where the network does. Pixels become what the
network takes (its device, its 16 bits) right at the call, and its logits are brought back. A
network that writes into its input is given a copy; one that fails, or that gives something else
than logits, is refused in one line, with its own words.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import TypeAlias, Union

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.memory import MemoryNear, look, out_of_memory
from intriguing.models.answers import FLOATS, check_logits, failure, one_tensor
from intriguing.models.evaluation import check_evaluation
from intriguing.models.fast_form import fast_form, has_faster_form
from intriguing.models.groups import Sizes, in_groups
from intriguing.models.small_groups import tried_sizes

Model: TypeAlias = Union[nn.Module, "Classifier"]


class Classifier:
    """A network as the analyses call it.

    Attributes:
        network: As it was given; it is never changed.
        device: Where it is, and where its logits are.

    >>> half = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval().half()
    >>> Classifier.of(half)(torch.rand(3, 1, 2, 2)).dtype
    torch.float32
    """

    def __init__(self, network: nn.Module) -> None:
        if not isinstance(network, nn.Module):
            given = f"the class {network.__name__}" if isinstance(network, type) else (
                f"a {type(network).__name__}"
            )  # fmt: skip
            raise InputError(
                f"the model is {given}; give a torch.nn.Module from images to logits (wrap a "
                "function in one whose forward calls it)"
            )
        _check_weights(network)
        self.network = network
        self._form = network
        self._own = own_dtypes(network)
        self.device = device_of(network)
        self._takes: torch.dtype | None = None
        self._gives: torch.dtype | None = None
        self._copies = False
        self._rows = 0
        self._most: int | None = None
        self._groups: dict[tuple[tuple[int, ...], int], Sizes] = {}

    @classmethod
    def of(cls, model: Model) -> "Classifier":
        """A network in evaluation mode as a classifier; one that is none yet is looked at first.

        Raises:
            InputError: If a part of it is in training mode or has no weights yet, it is no module,
                or autocast is on.
        """
        if isinstance(model, Classifier):
            return model
        made = cls(model)
        check_evaluation(model)
        if torch.is_autocast_enabled(made.device.type):
            raise InputError(
                "this is called inside torch.autocast, which would run the analysis itself in 16 "
                "bits; leave it, or put autocast into the model's forward"
            )
        return made

    @property
    def dtype(self) -> torch.dtype:
        """Of pixels and logits outside the network: float64 where it takes that, else float32."""
        takes = self._takes or next(iter(self._own), None)
        return torch.float64 if takes == torch.float64 else torch.float32

    @property
    def takes(self) -> torch.dtype:
        """What the network itself is given; known for certain after a call."""
        return self._takes or next(iter(self._own), self.dtype)

    @property
    def eps(self) -> float:
        """One unit in the last place of 1 in the network's own arithmetic, as far as it shows.

        Of the coarsest among its floating-point weights and its logits; known after a call.
        """
        known = {*self._own, *({self._gives} if self._gives else ()), self.dtype}
        return max(torch.finfo(kind).eps for kind in known)

    @property
    def coarse(self) -> bool:
        """Whether the network computes in less than float32."""
        return self.eps > torch.finfo(torch.float32).eps

    def fit(self, images: Tensor) -> Tensor:
        """Images as the analyses take them: on the device, in float32 or float64, no graph."""
        x = images.detach().to(self.device, self.dtype)
        return x.clone() if x.is_inference() else x  # of which no gradient could be taken

    def begin(self, shape: Sequence[int]) -> None:
        """Find out what the network takes, by one gray image, if that is not known yet."""
        if self._takes is None:
            with torch.no_grad():
                self.answer(torch.full((1, *shape), 0.5, dtype=self.dtype))

    def __call__(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Logits in `dtype` on `device`; differentiable where the network is.

        Raises:
            InputError: If the network fails, or gives something else than logits.
        """
        answer = self.answer(images)
        check_logits(answer, tuple(images.shape))
        return answer.to(self.dtype)

    def each(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """The same for any number of images: no image's logits depend on the others (`groups`).

        Where memory does not suffice for a group, it and all that come after are of fewer images,
        for which a network may round otherwise in the last digit.
        """
        images = images.to(self.device)
        while True:
            sizes = self.sizes(images)
            try:
                return in_groups(self, images, sizes)
            except Exception as error:
                if sizes.most == 1 or images.device.type != "cpu" or not out_of_memory(error):
                    raise
                if isinstance(error, MemoryNear):  # it is for who shows it so many
                    raise
            # Outside of the handler, whose traceback holds the tensors that are to be freed.
            gc.collect()
            self.fewer(sizes.most // 2)

    def group(self, like: Float[Tensor, "batch ..."]) -> int:
        """How many images shaped as these go through the network together (`sizes`)."""
        return self.sizes(like).most

    def sizes(self, like: Float[Tensor, "batch ..."]) -> Sizes:
        """The same, and down to how many the last of them (`small_groups`)."""
        about = tuple(like.shape[1:]), torch.get_num_threads()
        if about not in self._groups:
            like = like.to(self.device, self.dtype)
            self._groups[about] = tried_sizes(
                self.network, self, like, faster=self._form is not self.network
            )
        sizes = self._groups[about]
        if self._most is None or self._most >= sizes.most:
            return sizes
        return Sizes(self._most, min(self._most, sizes.least))

    def faster(self, noise: Callable[[], Float[Tensor, "b ..."]]) -> "Classifier":
        """The same in a form that computes in less time and rounds otherwise, or itself.

        As the network is now: to be asked for anew where it may have changed (`fast_form`).

        Args:
            noise: A few images to hold both against each other on, drawn when they are needed.
        """
        if not has_faster_form(self.network):
            return self
        images = noise()
        self.begin(images.shape[1:])
        form = fast_form(self.network, lambda form, x: self._of_form(form)(x), images)
        return self if form is None else self._of_form(form)

    def as_given(self) -> "Classifier":
        """The same in no faster form."""
        return self if self._form is self.network else self._of_form(self.network)

    def _of_form(self, form: nn.Module) -> "Classifier":
        made = copy(self)
        made._form, made._groups = form, {}
        return made

    def fewer(self, most: int) -> None:
        """From now on give the network groups of at most so many images: memory ran out."""
        self._most = most

    def answer(self, images: Float[Tensor, "batch ..."]) -> Tensor:
        """The one tensor that the network gives, whatever its shape, as it is.

        Raises:
            InputError: If the network fails, or gives something else than one tensor.
        """
        if self._takes is None:
            return self._first(images)
        x = images.to(self.device, self._takes)
        x = x.clone() if self._copies else x
        before = _version(x)
        answer = self._run(x)
        if _version(x) != before and not self._copies:
            raise InputError(
                "the model changes its input in place, but only for some images; give it a copy: "
                "begin its forward with x = x.clone()"
            )
        return answer

    def _first(self, images: Tensor) -> Tensor:
        """Ask for the first time: find out what it takes, and whether it writes into that."""
        wide = torch.float64 if images.dtype == torch.float64 else torch.float32
        failed: InputError | None = None
        for dtype in dict.fromkeys((*(self._own or (wide,)), *FLOATS)):
            given = images.to(self.device, dtype)
            x = given.clone()
            before = _version(x)
            try:
                answer = self._run(x)
            except InputError as error:
                failed = failed or error
                continue
            self._takes, self._rows = dtype, len(x)
            same = torch.equal(x.detach().nan_to_num(), given.detach().nan_to_num())
            self._copies = _version(x) != before or not same
            return answer
        assert failed is not None
        raise failed

    def _run(self, x: Tensor) -> Tensor:
        look()
        try:
            answer = self._form(x)
        except InputError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            seen = None if self._takes is None else self._rows
            raise InputError(failure(self.network, x, error, seen)) from error
        given = one_tensor(answer, tuple(x.shape))
        if given.dtype in FLOATS:
            self._gives = given.dtype
        return given


def device_of(model: Model) -> torch.device:
    """Where a network is: where its first weight is, or the CPU without any."""
    if isinstance(model, Classifier):
        return model.device
    first = next(_tensors(model), None)
    return torch.device("cpu") if first is None else first.device


def own_dtypes(network: nn.Module) -> tuple[torch.dtype, ...]:
    """The floating-point types of a network's weights in their order; integers do not count.

    >>> own_dtypes(nn.Sequential(nn.Linear(1, 1).half(), nn.Linear(1, 1)))
    (torch.float16, torch.float32)
    """
    weights = dict.fromkeys(w.dtype for w in network.parameters() if w.dtype in FLOATS)
    buffers = (b.dtype for b in network.buffers() if b.dtype in FLOATS)
    return tuple(weights or dict.fromkeys(buffers))


def unwrapped(network: nn.Module) -> nn.Module:
    """The network in what only says how it runs: `torch.compile`, `DataParallel`.

    >>> unwrapped(nn.DataParallel(nn.Flatten()))
    Flatten(start_dim=1, end_dim=-1)
    """
    while True:
        inside = network._modules
        compiled = inside.get("_orig_mod") if len(inside) == 1 else None
        inner = network.module if isinstance(network, _PARALLEL) else compiled
        if not isinstance(inner, nn.Module):
            return network
        network = inner


_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def _check_weights(network: nn.Module) -> None:
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise InputError(
                f"the model has weights without a shape yet ({name}); show it images once: "
                "model(images[:2])"
            )
        if tensor.is_meta:
            raise InputError(
                f"the model's weights are on the meta device ({name}) and have no values; load them"
            )


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


def _version(x: Tensor) -> int:
    return 0 if x.is_inference() else x._version
