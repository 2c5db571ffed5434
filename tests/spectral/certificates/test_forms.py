"""Radii by affine forms of transformers and gated networks: sound, and near what is found."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing import certify, minimum_distortion
from intriguing.measures import Box
from intriguing.spectral.certificates.forms import network as forms
from intriguing.spectral.certificates.lipschitz import analyse


class Vit(nn.Module):
    """Patches of a picture of 8×8 pixels, a body, and the mean of its tokens."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.patches, self.body, self.last = nn.Conv2d(1, 12, 4, 4), body, nn.Linear(12, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.body(self.patches(images).flatten(2).transpose(1, 2)).mean(1))


class Attention(nn.Module):
    """Torch's own, without anything around it."""

    def __init__(self, *, first: bool = True) -> None:
        super().__init__()
        self.attention, self.first = nn.MultiheadAttention(12, 2, batch_first=first), first

    def forward(self, tokens: Tensor) -> Tensor:
        if self.first:
            return self.attention(tokens, tokens, tokens)[0]
        turned = tokens.transpose(0, 1)
        return self.attention(turned, turned, turned, need_weights=False)[0].transpose(0, 1)


class ByHand(nn.Module):
    """Attention written out, as many do it: chunks, a matrix product, softmax."""

    def __init__(self, *, batched: bool = False) -> None:
        super().__init__()
        self.reads, self.writes, self.batched = nn.Linear(12, 36), nn.Linear(12, 12), batched

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.reads(tokens).chunk(3, dim=-1)
        if self.batched:
            mixed = torch.bmm((torch.bmm(query, key.transpose(1, 2)) / 12**0.5).softmax(2), value)
        else:
            mixed = torch.softmax(query @ key.mT / 12**0.5, dim=-1) @ value
        return tokens + self.writes(mixed)


class Gates(nn.Module):
    """Products and quotients of what depends on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(12, 12), nn.Linear(12, 12)

    def forward(self, tokens: Tensor) -> Tensor:
        gate = torch.sigmoid(self.one(tokens))
        scale = tokens.square().mean(-1, keepdim=True) + 1
        return functional.gelu(self.two(tokens)) * gate / scale


class Rms(nn.Module):
    """Groups and root mean squares."""

    def __init__(self) -> None:
        super().__init__()
        self.groups, self.rms = nn.GroupNorm(2, 4), nn.RMSNorm(12, eps=1e-3)
        self.way = nn.Linear(12, 12)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.rms(tokens + torch.exp(-self.way(self.groups(tokens)).square()))


def layer(*, norm_first: bool) -> nn.Module:
    return nn.TransformerEncoderLayer(
        12, 2, 24, batch_first=True, norm_first=norm_first, activation="gelu"
    )


BODIES = {
    "encoder layer": lambda: layer(norm_first=True),
    "norm last": lambda: layer(norm_first=False),
    "encoder": lambda: nn.TransformerEncoder(layer(norm_first=True), 2, enable_nested_tensor=False),
    "attention": Attention,
    "tokens first": lambda: Attention(first=False),
    "by hand": ByHand,
    "batched": lambda: ByHand(batched=True),
    "gates": Gates,
    "norms": Rms,
}


def network(name: str, seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    """With images of several classes, some of which it reads with ease."""
    torch.manual_seed(seed)
    model = Vit(BODIES[name]()).eval().requires_grad_(False)
    model.last.weight.data.mul_(4.0)
    images = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    model.last.bias.data.copy_(-model(images).mean(0))
    logits = model(images)
    ahead = logits.topk(2).values.diff(dim=1)[:, 0].abs()
    chosen = ahead.argsort(descending=True)[:3]
    return model, images[chosen], logits[chosen].argmax(1)


@pytest.mark.parametrize("name", sorted(BODIES))
def test_no_example_lies_within_a_radius_and_the_radius_says_something(name: str) -> None:
    model, images, labels = network(name)
    made = certify(model, images, labels)
    assert "affine forms" in made.formula
    assert made.guaranteed
    found = minimum_distortion(model, images, labels, "untargeted", budget=200)
    reached = found.success
    assert bool((made.radius <= found.l2)[reached].all())
    assert bool((made.radius > 0.02 * found.l2)[reached].all())
    whole = certify(model, images, labels, local=False)
    assert bool((made.radius > 3 * whole.radius).all())


@pytest.mark.parametrize("name", sorted(BODIES))
def test_logits_stay_in_their_form(name: str) -> None:
    model, images, _ = network(name, 1)
    walk = analyse(model, (1, 8, 8), Box(0.0, 1.0), images).walk
    made = forms.network_of(walk)
    assert made is not None
    exact = model.double()
    generator = torch.Generator().manual_seed(5)
    for radius in (1e-6, 0.05, 0.3):
        form = made.form(images[:1].double(), radius)
        if form is None:  # what it leaves open has squared itself beyond all numbers
            assert radius == 0.3
            continue
        moves = functional.normalize(torch.randn(300, 64, generator=generator).double())
        moves[::4] *= torch.rand(75, 1, generator=generator).double()
        logits = exact(images[:1].double() + radius * moves.view(-1, 1, 8, 8))
        apart = (logits - form.centre - moves @ form.ball[:, 0]).abs()
        assert bool((apart <= form.beyond).all())


@pytest.mark.parametrize("curve", [nn.GELU(), nn.SiLU(), nn.ReLU(), nn.Tanh(), nn.Softplus()])
def test_a_curve_meets_its_lines_and_never_leaves_them(curve: nn.Module) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), curve).eval().requires_grad_(False)
    image = torch.rand(1, 1, 8, 8)
    made = forms.network_of(analyse(model, (1, 8, 8), Box(0.0, 1.0), image).walk)
    assert made is not None
    rows = functional.normalize(model[1].weight.double())
    for radius in (0.05, 1.0, 5.0):
        form = made.form(image.double(), radius)
        assert form is not None
        moves = torch.linspace(-1, 1, 101).double()[:, None, None] * rows
        logits = model.double()(image.double() + radius * moves.view(-1, 1, 8, 8)).view(101, 6, 6)
        known = form.centre[0] + moves @ form.ball[:, 0]
        apart = (logits - known).abs().diagonal(dim1=1, dim2=2)
        assert bool((apart <= form.beyond[0]).all())
        # The chord is met at its ends: no narrower strip would do.
        assert bool((apart.amax(0) > 0.99 * form.beyond[0] - 1e-9).all())


class Nothing(nn.Module):
    """Attention, and away with it again."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()

    def forward(self, tokens: Tensor) -> Tensor:
        mixed = self.attention(tokens)
        return tokens + (mixed - mixed)


def test_what_a_step_leaves_open_cancels_where_it_meets_itself() -> None:
    torch.manual_seed(0)
    model = Vit(Nothing()).eval().requires_grad_(False)
    image = torch.rand(1, 1, 8, 8)
    made = forms.network_of(analyse(model, (1, 8, 8), Box(0.0, 1.0), image).walk)
    assert made is not None
    form = made.form(image.double(), 0.1)
    assert form is not None
    assert float(form.within_ball.min()) > 1e-3
    assert float(form.beyond.max()) < 1e-9


@pytest.mark.parametrize("radius", [1e60, 1e120, 1e200])
def test_a_ball_beyond_all_numbers_has_no_form(radius: float) -> None:
    model, images, _ = network("encoder layer")
    made = forms.network_of(analyse(model, (1, 8, 8), Box(0.0, 1.0), images).walk)
    assert made is not None
    form = made.form(images[:1].double(), radius)
    assert form is None or float(form.beyond.min()) > radius


def test_few_symbols_prove_less_but_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images, labels = network("encoder layer")
    many = certify(model, images, labels).radius
    monkeypatch.setattr(forms, "SYMBOLS", 60)
    few = certify(model, images, labels).radius
    assert bool((few < many).all())
    assert bool((few > 0).all())
    found = minimum_distortion(model, images, labels, "untargeted", budget=200).l2
    assert bool((few <= found).all())


def test_a_radius_reaches_a_tenth_of_what_is_found_on_a_trained_network() -> None:
    """Digits by one block of attention, trained on noise for a second or two."""
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).float().view(-1, 1, 8, 8) / 16
    labels = torch.from_numpy(classes).long()
    torch.manual_seed(0)
    model = Vit(nn.Sequential(nn.LayerNorm(12), ByHand(), nn.LayerNorm(12)))
    model.last = nn.Linear(12, 10)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(300):
        rows = torch.randint(0, 1400, (100,))
        noisy = images[rows] + 0.2 * torch.randn(100, 1, 8, 8)
        loss = functional.cross_entropy(model(noisy), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().requires_grad_(False)
    right = (model(images[1400:]).argmax(1) == labels[1400:]).nonzero()[:8, 0] + 1400
    x, y = images[right], labels[right]
    made = certify(model, x, y)
    found = minimum_distortion(model, x, y, "untargeted", budget=200)
    share = made.radius / found.l2
    assert float(share.max()) <= 1
    assert float(share.median()) > 0.1
