"""Counted costs against a network really built, and against each other."""

import pytest

from intriguing.models.families.quocnet import CONFIGS, QuocNet
from intriguing.models.quocnet_cost import WAYS, device_cost, stage_costs


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_those_of_the_network(name: str) -> None:
    network = QuocNet(CONFIGS[name], device="meta")
    counted = [cost.parameters for cost in stage_costs(CONFIGS[name])]
    assert counted == [sum(p.numel() for p in stage.parameters()) for stage in network.stages]


def test_more_devices_need_less_each() -> None:
    config = CONFIGS["quocnet-1b"]
    one = {way: device_cost(config, way, 1, 64) for way in WAYS}
    assert len({cost.memory for cost in one.values()}) == 1
    assert all(cost.received == 0 for cost in one.values())
    many = {way: device_cost(config, way, 16, 64) for way in WAYS}
    assert many["copies"].weights == one["copies"].weights
    assert many["locations"].weights == one["locations"].weights / 16
    assert many["locations"].states < many["shards"].states * 1.01 < many["copies"].states / 10
    for way in WAYS:
        assert many[way].operations == one[way].operations / 16
    # Borders of activations are far less than weights: the reason to share by location.
    assert many["locations"].received < many["copies"].received / 5


def test_one_stage_of_the_full_size_needs_gigabytes() -> None:
    cost = device_cost(CONFIGS["quocnet-1b"], "copies", 1, 4)
    assert 11 < cost.memory / 2**30 < 15
