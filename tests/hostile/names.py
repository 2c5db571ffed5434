"""Names that would do something where they are not shown as text."""

from dataclasses import replace

import torch
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data

SCRIPT = """"'><img src=http://evil.invalid/a.png onerror=window.hacked=1><svg onload=hacked=1>
</script><script>window.hacked=1</script><!--<a href="javascript:hacked=1">{{7*7}}]]>"""
"""Leaves attributes, elements, scripts and comments, and loads a picture from elsewhere."""

NAMES = (
    SCRIPT, r"$\frac{$_^\n\1", "[/a][red]", "=1+cmd|' /C calc'!A0", "../../../up", "/tmp/absolute",
    "a b", "a-b", "A-b", "\x1b[31m\x00\x07", "\u202egnp.exe", "\ud800\udcff", "😀", "_hidden",
    "CON", "x" * 10_000, "-0.5", "@SUM(1)", "{x!r}", "%s%n", "line\nbreak\ttab\r", "__metadata__",
)  # fmt: skip


def digits(count: int) -> ImageSet:
    """Digits whose set, images and classes have such names."""
    plain = load_data("digits").test.first(count)
    ids = tuple(f"{NAMES[i % len(NAMES)]}{i}" for i in range(count))
    return replace(plain, name=SCRIPT, ids=ids, class_names=NAMES[:10])


def network(*names: str, scale: float = 3.0) -> nn.Module:
    """A classifier of digits, by the nearest mean, whose three layers are called so."""
    train = load_data("digits").train
    x = train.images.flatten(1)
    middle = torch.stack([x[train.labels == label].mean(0) for label in range(10)])
    first, last = nn.Linear(64, 10), nn.Linear(10, 10)
    first.weight.data.copy_(scale * middle)
    first.bias.data.copy_(100 - scale / 2 * middle.square().sum(1))
    last.weight.data.copy_(torch.eye(10))
    last.bias.data.zero_()
    made = nn.Sequential(nn.Flatten())
    for name, layer in zip(names, (first, nn.ReLU(), last), strict=True):
        made.add_module(name.replace(".", "·"), layer)
    return made.eval()
