"""Ways of training: pools, deformations, hard examples, penalties, and examples alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cosine_similarity, cross_entropy

from intriguing.data.dataset import ImageSet
from intriguing.distortion.minimum import minimum_distortion
from intriguing.hardening.config import PoolConfig
from intriguing.hardening.hardened import Hardened
from intriguing.hardening.places import Place
from intriguing.paper.claims.asking import error, median_length, nearest, read_by_all, toward_random
from intriguing.paper.claims.claim import Claim, less_than, more_than
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Networks, Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.paper.networks import draw
from intriguing.results.measured import Condition, Metric
from intriguing.results.verdicts import Source
from intriguing.training.batches import Batch, shifted
from intriguing.training.minibatch import Extra
from intriguing.training.recipe import train_network

_SHAPE = "fc100-100-10"
_PLACES = ("input", "2")
_RADII = (0.1, 0.2)
"""Of the typical distance between two images, or two outputs of the layer."""
_PENALTIES = (1e-3, 1e-2)
"""Weights of the spectral penalty that validation chooses from."""
_POOL = PoolConfig(start=3)
"""Pools begin after some epochs, when there is something to attack."""
_COST = 3
"""Times plain training: what pools cost, as docs/hardening.md measured, and deformations get."""
_HARD = 0.3
"""Of every batch: the images that are misread most, which count twice."""
_SHADES = ((0.7, 0.0), (0.7, 0.15), (0.7, 0.3))
"""α·x + β inside of the box."""

_ERRORS = "Errors are of few test images, on which pools gain little; docs/hardening.md has MNIST."


@dataclass(frozen=True)
class Families(Topic):
    """§4.2's training claims and §4.3's, each family at the setting that validation chose."""

    name: ClassVar[str] = "families"
    question: ClassVar[str] = "What does training on examples buy?"
    held: ImageSet
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(
            "back-feeding", Source.PAPER, "§4.2",
            "Feeding adversarial examples back to training might improve generalization.",
            "A pool at the input lowers the test error.",
            "test error of plain training less that with the pool, in points", "% more",
            more_than(0.0), "more test images", _ERRORS, across="radius, share of the typical "
            "distance",
        ),
        Claim(
            "higher-layers", Source.PAPER, "§4.2",
            "Adversarial examples for the higher layers seemed to be significantly more useful "
            "than those on the input or lower layers.",
            "A pool at the second hidden layer lowers the test error more than one at the input.",
            "test error with the input's pool less that with the second layer's, in points",
            "% more", more_than(0.0), "more test images",
            f"Every pool at the radius that held-out training images chose. {_ERRORS}",
        ),
        Claim(
            "deformations", Source.PAPER, "§4",
            "Input deformations are statistically inefficient.",
            "A pool lowers the test error more than shifts by a pixel at the same cost.",
            "test error with shifts less that with the pool, in points", "% more", more_than(0.0),
            "rotations or larger shifts",
            f"Shifts have {_COST} times as many epochs. Small images lose much by a shift.",
        ),
        Claim(
            "deformations-correlated", Source.PAPER, "§4",
            "Deformed examples are highly correlated, drawn from the same distribution.",
            "Gradients of shifted copies of an image are more alike than those of its adversarial "
            "examples.",
            "mean cosine of the weights' gradients of two shifted copies less that of two "
            "adversarial examples", "cosine", more_than(0.0), "examples of the same class",
            "Adversarial examples toward different classes.",
        ),
        Claim(
            "hard-negatives", Source.PAPER, "§4",
            "Training on adversarial examples is close in spirit to hard-negative mining.",
            "By distance: it moves examples as far away as mining the most misread images does, up "
            "to a tenth.",
            "median distance with the pool over that with mining", "ratio",
            less_than(1.1), "mining that looks farther",
            f"Mining counts the {100 * _HARD:.0f} % of a batch with the largest loss twice.",
        ),
        Claim(
            "penalty-generalizes", Source.PAPER, "§4.3",
            "Penalising each upper Lipschitz bound might help improve the generalisation error.",
            "At the weight that held-out images choose it lowers the test error.",
            "test error of plain training less that with the penalty, in points", "% more",
            more_than(0.0), "more test images",
            "Rate, schedule and decay are those of plain training; the weights tried are "
            + ", ".join(f"{one:g}" for one in _PENALTIES) + ".", across="weight of the penalty",
        ),
        Claim(
            "penalty-distance", Source.PAPER, "§4.3",
            "Bounds suggest that regularisation against adversarial examples is possible.",
            "At that weight the nearest examples are farther than after plain training.",
            "median distance with the penalty over that without", "ratio", more_than(1.0),
            "a larger weight, which costs error", "On images that both read.",
            across="weight of the penalty",
        ),
        Claim(
            "pool-distance", Source.SUCCESSORS, "Goodfellow et al. 2015; Madry et al. 2018",
            "Training on adversarial examples makes networks robust.",
            "With the pool the nearest examples are farther, by a fifth at least.",
            "median distance with the pool over that without", "ratio", more_than(1.2),
            "a larger radius", "The radius is what the least error chooses, not the distance.",
            across="radius, share of the typical distance",
        ),
        Claim(
            "blind-spot-attack", Source.READERS, "Zhang et al. 2019, from a reader's list",
            "Scaled and shifted images break hardened networks.",
            "On α·x + β hardening moves examples less far than on x, by a fifth.",
            "gain in distance on such images over that on the images themselves", "ratio",
            less_than(0.8), "other scales", "The least over three of α, β; images that both "
            "networks read, changed or not.",
        ),
        Claim(
            "features", Source.SUCCESSORS, "Ilyas et al. 2019",
            "Adversarial examples are features, not bugs.",
            "A network trained on examples labelled by their targets alone reads unchanged test "
            "images, one in five at least.",
            "share of test images that it reads", "%", more_than(20.0),
            "shorter examples", "One in ten is luck. Targets are random, so that labels say "
            "nothing of what is seen; examples are twice the least length, in the box.",
        ),
    )  # fmt: skip

    @classmethod
    def of(cls, given: Networks) -> "Families":
        wanted = cls.wanted(given.scale)
        trained = tuple(given.training(one) for one in wanted.values())
        fit, held, test = given.part("fit"), given.part("held"), given.data.test
        return cls(tuple(wanted), trained, fit, test, given.scale, given.seed, held)

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        """All learn from the same images; those held out judge the very network that is tested.

        Now and then a training with a pool learns nothing. Trained again on all images, a setting
        that was chosen would be judged by another training than the one that validation saw.
        """
        found = {
            "plain": Wanted(_SHAPE, part="fit"),
            "shift": Wanted(_SHAPE, part="fit", shift=1, longer=_COST),
        }
        for place in _PLACES:
            for radius in _RADII:
                pools = PoolConfig(start=_POOL.start, share=radius)
                hardened = Hardened((Place(place),), pools)
                found[f"pool {place} {radius:g}"] = Wanted(_SHAPE, part="fit", hardened=hardened)
        for weight in _PENALTIES:
            hardened = Hardened(penalty=weight)
            found[f"penalty {weight:g}"] = Wanted(_SHAPE, part="fit", hardened=hardened)
        return found

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        errors, held = (
            {role: error(model, images) for role, model in models.items()}
            for images in (self.test, self.held)
        )
        for which, of in (("test", errors), ("validation", held)):
            for role, value in of.items():
                found.add(Metric.ERROR, "%", value, network=role, condition=Condition.CLEAN,
                          images=which)  # fmt: skip

        def best(kind: str, places: tuple[float, ...]) -> str:
            return min((f"{kind} {one:g}" for one in places), key=held.__getitem__)

        pool, second = best("pool input", _RADII), best("pool 2", _RADII)
        penalty = best("penalty", _PENALTIES)
        found.effect("back-feeding", errors["plain"] - errors[pool])
        found.effect("higher-layers", errors[pool] - errors[second])
        found.effect("deformations", errors["shift"] - errors[pool])
        found.effect("penalty-generalizes", errors["plain"] - errors[penalty])
        plain, mined = models["plain"], self._mined()
        with found.unless_unread("hard-negatives"):
            found.effect("hard-negatives", self._farther(models[pool], mined))
        with found.unless_unread("pool-distance"):
            found.effect("pool-distance", self._farther(models[pool], plain))
        with found.unless_unread("penalty-distance"):
            found.effect("penalty-distance", self._farther(models[penalty], plain))
        with found.unless_unread("blind-spot-attack"):
            found.effect("blind-spot-attack", self._shaded(models[pool], plain))
        for radius in _RADII:
            role = f"pool input {radius:g}"
            found.point("back-feeding", Metric.ERROR, "%", errors[role], size=radius)
            with found.unless_unread():
                found.point("pool-distance", Metric.DISTORTION_RATIO, "ratio",
                            self._farther(models[role], plain), size=radius)  # fmt: skip
        for weight in _PENALTIES:
            role = f"penalty {weight:g}"
            found.point("penalty-generalizes", Metric.ERROR, "%", errors[role], size=weight)
            with found.unless_unread():
                found.point("penalty-distance", Metric.DISTORTION_RATIO, "ratio",
                            self._farther(models[role], plain), size=weight)  # fmt: skip
        found.effect("deformations-correlated", self._correlated(plain))
        self._features(plain, found)

    def _farther(self, ours: nn.Module, plain: nn.Module) -> float:
        some = read_by_all([ours, plain], self.test, self.scale.attacked)
        lengths = [median_length(nearest(one, some, self.scale)) for one in (ours, plain)]
        return lengths[0] / lengths[1]

    def _shaded(self, hard: nn.Module, plain: nn.Module) -> float:
        """The gain in distance on α·x + β over that on x; the least of all α, β."""
        some = read_by_all([hard, plain], self.test, self.scale.attacked)
        ratios = []
        for alpha, beta in ((1.0, 0.0), *_SHADES):
            shaded = ImageSet(some.name, alpha * some.images + beta, some.labels, some.ids,
                              some.class_names)  # fmt: skip
            asked = read_by_all([hard, plain], shaded, self.scale.attacked)
            lengths = [median_length(nearest(one, asked, self.scale)) for one in (hard, plain)]
            ratios.append(lengths[0] / lengths[1])
        return min(ratios[1:]) / ratios[0]

    def _correlated(self, model: nn.Module) -> float:
        """Mean cosine of gradients of two shifted copies, less that of two adversarial examples."""
        some = read_by_all([model], self.test, 20)
        weights = {name: p.detach() for name, p in model.named_parameters()}

        def loss(given: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
            return cross_entropy(functional_call(model, given, (image[None],)), label[None])

        slopes = vmap(grad(loss), in_dims=(None, 0, 0))

        def alike(first: Tensor, second: Tensor) -> float:
            one, other = (
                torch.cat([g.flatten(1) for g in slopes(weights, x, some.labels).values()], 1)
                for x in (first, second)
            )
            return float(cosine_similarity(one, other).mean())

        copies = [shifted(some.images, 1, self.generator(f"shift {i}")) for i in range(2)]
        made = []
        for i in range(2):
            one = toward_random(model, some, self.scale, self.generator(f"example {i}"))
            made.append(torch.where(one.success.view(-1, 1, 1, 1), one.adversarial, some.images))
        return alike(*copies) - alike(*made)

    def _mined(self) -> nn.Module:
        """Plain training in which the images that are misread most count twice."""

        def mining(model: nn.Module, images: Tensor, labels: Tensor) -> Extra:
            def loss(network: nn.Module, batch: Batch) -> Tensor:
                losses = cross_entropy(network(batch.images), batch.labels, reduction="none")
                return losses.topk(max(1, round(_HARD * len(losses)))).values.sum() / len(losses)

            return Extra(loss, name="hard examples")

        plain = self.networks[self.roles.index("plain")]
        return train_network(plain.recipe, self.train, plain.seed, harden=mining)[0]

    def _features(self, model: nn.Module, found: Record) -> None:
        """Train on examples of random targets, labelled by these; ask about unchanged images."""
        seed = draw("claims", "features", self.seed)
        some = self.train.first(2000)
        made = minimum_distortion(
            model, some.images, some.labels, "random", "closest", budget=10, seed=seed
        )
        rows = made.success
        far = (some.images + 2 * (made.adversarial - some.images)).clamp(0, 1)
        ids = tuple(one for one, kept in zip(some.ids, rows.tolist(), strict=True) if kept)
        examples = ImageSet("examples", far[rows], made.targets[rows], ids, some.class_names)
        plain = self.networks[self.roles.index("plain")]
        taught, _ = train_network(plain.recipe, examples, seed)
        misread = round(error(taught, self.test) * len(self.test) / 100)
        found.share_effect("features", len(self.test) - misread, len(self.test))
