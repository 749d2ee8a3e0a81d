"""Servers, and children that talk to them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.hub_server import HubServer


def with_people(hub: HubServer) -> HubServer:
    """:return: the Hub, with the accounts that tests know"""
    hub.add_user("ann", token="hf_ann")
    hub.add_user("bob", token="hf_bob")
    hub.add_user("eve", token="hf_eve", write=False)
    hub.add_organization("club", members={"ann"})
    return hub


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hub without Xet. Ann and Bob may write, Eve has a token that may only read, and Ann is in the club."""
    with HubServer() as server:
        yield with_people(server)


@pytest.fixture
def xet_hub() -> Iterator[HubServer]:
    """The same with Xet."""
    with HubServer(xet=True) as server:
        yield with_people(server)
