"""A copy of a network to be looked into, without what torch adds for training and for speed.

* Old-style weight norm, spectral norm and pruning compute a layer's weight in a hook before every
  pass. In evaluation that weight is a constant; the copy holds it.
* torch's transformer layers choose between a fused kernel without derivatives and their own few
  lines. The copy has the lines, so that each operation in them is bounded by its own rule.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import Quantize
from torch.ao.nn.quantized.modules.utils import WeightedQuantizedModule
from torch.nn.utils import prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from intriguing.errors import InputError
from intriguing.graph.hooks import patched
from intriguing.models.answers import own_words


def inference_copy(model: nn.Module) -> nn.Module:
    """The same function as the model, in evaluation mode, sharing nothing with it.

    Raises:
        InputError: If it, or a part, is in TorchScript or in int8, or cannot be copied.
    """
    _check_parts(model)
    held = [
        value
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    try:
        plain: nn.Module = copy.deepcopy(
            model, {id(value): value.detach().clone() for value in held}
        )
    except Exception as error:
        raise InputError(
            f"the network cannot be copied ({own_words(error)}), and only a copy is looked into; "
            "hold what cannot be copied outside of its modules"
        ) from error
    for module in list(plain.modules()):
        _with_constant_weights(module)
        written_out = _WRITTEN_OUT.get(type(module))
        if written_out is not None and patched(type(module)) is None:
            module.__class__ = written_out
    return plain


def _check_parts(model: nn.Module) -> None:
    for name, module in model.named_modules():
        part = f"the network's {name}" if name else "the network"
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(
                f"{part} is in TorchScript, which shows no operations to bound; give the network "
                "from before torch.jit.script, trace or freeze"
            )
        own = module.__dict__.values()
        if any(isinstance(value, Tensor) and value.is_quantized for value in own) or isinstance(
            module, _QUANTIZED
        ):
            raise InputError(
                f"{part} computes in integers ({type(module).__name__}), and bounds are of real "
                "numbers; give the network from before it was quantised"
            )


_QUANTIZED = (WeightedQuantizedModule, Quantize)


def _with_constant_weights(module: nn.Module) -> None:
    for hook in list(module._forward_pre_hooks.values()):
        if isinstance(hook, SpectralNorm):
            remove_spectral_norm(module, hook.name)
        elif isinstance(hook, WeightNorm):
            remove_weight_norm(module, hook.name)
        elif isinstance(hook, prune.BasePruningMethod):
            prune.remove(module, hook._tensor_name)  # type: ignore[no-untyped-call]


class _EncoderLayer(nn.TransformerEncoderLayer):
    """Fig. 1 of Xiong et al. 2020, as torch's own slow path writes it."""

    def forward(
        self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:  # fmt: skip
        given = (src_mask, src_key_padding_mask)
        if self.norm_first:
            x = src + self._sa_block(self.norm1(src), *given, is_causal=is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(src + self._sa_block(src, *given, is_causal=is_causal))
        return self.norm2(x + self._ff_block(x))


class _DecoderLayer(nn.TransformerDecoderLayer):
    """As it is, but looked into."""


class _Encoder(nn.TransformerEncoder):
    """Layer after layer."""

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Any:  # fmt: skip
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class _Decoder(nn.TransformerDecoder):
    """Layer after layer."""

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None,
        tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)


class _Transformer(nn.Transformer):
    """The decoder after the encoder."""

    def forward(
        self, src: Any, tgt: Any, src_mask: Any = None, tgt_mask: Any = None,
        memory_mask: Any = None, src_key_padding_mask: Any = None, tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None, src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
            tgt_is_causal, memory_is_causal,
        )  # fmt: skip


_WRITTEN_OUT: dict[type[nn.Module], type[nn.Module]] = {
    nn.TransformerEncoderLayer: _EncoderLayer,
    nn.TransformerDecoderLayer: _DecoderLayer,
    nn.TransformerEncoder: _Encoder,
    nn.TransformerDecoder: _Decoder,
    nn.Transformer: _Transformer,
}
