import pytest
import torch

from darts_core.inference.seeding import seeded

CPU = torch.device("cpu")


def drawn(numbers, seed: int = 5) -> dict[int, torch.Tensor]:
    made = {}
    for number in numbers:
        with seeded(CPU, seed, number):
            made[number] = torch.rand(8)
    return made


def test_a_window_has_the_same_numbers_in_any_order_and_its_neighbours_have_others():
    ahead, back = drawn([3, 4, 5, 6]), drawn([6, 5, 3])
    assert all(torch.equal(ahead[number], one) for number, one in back.items())
    assert not torch.equal(ahead[3], ahead[4])


def test_the_seed_is_no_offset():
    assert not torch.equal(drawn([4], seed=5)[4], drawn([5], seed=4)[5])


def test_random_numbers_outside_go_on_as_if_nothing_had_been():
    torch.manual_seed(1)
    first, expected = torch.rand(3), torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), first)
    with pytest.raises(ValueError, match="inside"), seeded(CPU, 0, 7):
        torch.rand(9)
        raise ValueError("inside")
    assert torch.equal(torch.rand(3), expected)
