import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError


def numbered(count: int, classes: int = 3) -> ImageSet:
    """Image i is filled with i / count, so that it can be told wherever it goes."""
    places = torch.arange(count)
    return ImageSet(
        name="numbered",
        images=(places / max(count, 1)).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone(),
        labels=places % classes,
        ids=tuple(f"numbered/{i}" for i in range(count)),
        class_names=tuple("abcdefgh"[:classes]),
    )


def assert_true_to_ids(part: ImageSet, whole: ImageSet) -> None:
    """Every image and label in `part` is the one that its id names in `whole`."""
    places = [int(name.removeprefix("numbered/")) for name in part.ids]
    assert torch.equal(part.images, whole.images[places])
    assert torch.equal(part.labels, whole.labels[places])
    assert part.class_names == whole.class_names


@given(st.integers(2, 60), st.data())
def test_split_is_a_partition_in_which_images_keep_their_ids(
    count: int, data: st.DataObject
) -> None:
    whole = numbered(count)
    first = data.draw(st.integers(1, count - 1))
    seed = data.draw(st.integers(0, 99))
    p1, p2 = whole.split(first, torch.Generator().manual_seed(seed))
    assert (len(p1), len(p2)) == (first, count - first)
    assert {*p1.ids, *p2.ids} == set(whole.ids)
    for part in (p1, p2):
        assert_true_to_ids(part, whole)
    again, _ = whole.split(first, torch.Generator().manual_seed(seed))
    assert again.ids == p1.ids


def test_splits_of_two_seeds_differ_and_have_names() -> None:
    whole = numbered(100)
    one, rest = whole.split(50, torch.Generator().manual_seed(1))
    two, _ = whole.split(50, torch.Generator().manual_seed(2))
    assert one.ids != two.ids
    assert (one.name, rest.name) == ("numbered[P1]", "numbered[P2]")


@pytest.mark.parametrize("first", [0, 10, 11, -1])
def test_an_empty_side_is_refused(first: int) -> None:
    with pytest.raises(InputError, match="cannot split 10 images"):
        numbered(10).split(first, torch.Generator())


@given(st.lists(st.integers(0, 19), max_size=30))
def test_subset_follows_the_order_of_the_indices(indices: list[int]) -> None:
    whole = numbered(20)
    part = whole.subset(torch.tensor(indices, dtype=torch.int64), "some")
    assert part.ids == tuple(f"numbered/{i}" for i in indices)
    assert part.name == "some"
    assert_true_to_ids(part, whole)


@given(st.integers(1, 25), st.integers(1, 30))
def test_batches_put_together_are_the_set(count: int, size: int) -> None:
    whole = numbered(count)
    batches = list(whole.batches(size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert sum((batch.ids for batch in batches), ()) == whole.ids
    for batch in batches:
        assert_true_to_ids(batch, whole)


def test_first_takes_what_there_is() -> None:
    assert numbered(5).first(3).ids == ("numbered/0", "numbered/1", "numbered/2")
    assert numbered(5).first(9).ids == numbered(5).ids


def test_the_digest_is_of_images_labels_and_order_only() -> None:
    whole = numbered(6)
    assert whole.sha256 == numbered(6).sha256
    assert dataclasses.replace(whole, name="other").sha256 == whole.sha256
    images = whole.images.clone()
    images[5, 0, 1, 1] += 1e-6
    relabelled = whole.labels.clone()
    relabelled[0] = 2
    others = [
        dataclasses.replace(whole, images=images),
        dataclasses.replace(whole, labels=relabelled),
        dataclasses.replace(whole, images=whole.images.reshape(6, 1, 1, 4)),
        whole.to("cpu", torch.float64),
        whole.subset(torch.tensor([1, 0, 2, 3, 4, 5])),
        whole.first(5),
    ]
    assert len({whole.sha256, *(other.sha256 for other in others)}) == 7


def test_to_changes_the_images_type_and_not_the_labels() -> None:
    moved = numbered(4).to("cpu", torch.float64)
    assert (moved.images.dtype, moved.labels.dtype) == (torch.float64, torch.int64)
    assert moved.ids == numbered(4).ids


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"ids": ("numbered/0",)}, "4 images and 1 ids"),
        ({"labels": torch.tensor([0, 1])}, r"labels have shape \(2,\) for 4 images"),
        (
            {"labels": torch.tensor([0, 1, 2, 3])},
            "run from 0 to 3; there are names for classes 0 … 2",
        ),
        ({"labels": torch.tensor([0, 1, 2, -1])}, "labels run from -1 to 2"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], cause: str) -> None:
    with pytest.raises(InputError, match=f"numbered: .*{cause}"):
        dataclasses.replace(numbered(4), **change)
