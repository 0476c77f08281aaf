from contextlib import closing

from slipway_local.addresses import Addresses


def test_two_clusters_on_one_machine_share_no_address() -> None:
    with closing(Addresses()) as one, closing(Addresses()) as other:
        taken = [f() for a in (one, other) for f in (a.pod, a.pod, a.service, a.service)]

    assert len(set(taken)) == 8
    assert all(address.startswith("127.") for address in taken)


def test_a_pod_s_address_is_not_used_again_soon() -> None:
    with closing(Addresses()) as addresses:
        first = addresses.pod()
        addresses.free_pod(first)

        assert first not in {addresses.pod() for _ in range(1000)}


def test_a_block_can_be_taken_again_when_its_cluster_is_gone() -> None:
    with closing(Addresses()) as addresses:
        first = addresses.pod()
    with closing(Addresses()) as addresses:
        second = addresses.pod()

    assert first.split(".")[1] == second.split(".")[1]
