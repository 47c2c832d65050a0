"""What a study says of its cards: one that is known, or memory and speed of another; and nothing that contradicts."""

import pytest
from studies import study

from scalebio.cards import CARDS
from scalebio.config import Hardware
from scalebio.errors import UserError


def test_a_card_is_named_or_described():
    assert Hardware(gpus=1, card="A40").one_gpu == CARDS["A40"]
    other = Hardware(gpus=1, gpu_memory_gb=64, gpu_tflops=400).one_gpu
    assert (other.memory_gb, other.bfloat16_tflops, other.bandwidth_gb, other.source) == (64, 400, None, "the study")
    assert Hardware(gpus=1).one_gpu is None and Hardware().one_gpu is None
    assert all(card.memory_gb and card.bfloat16_tflops and card.link_gb and card.source for card in CARDS.values())


@pytest.mark.parametrize(
    "hardware, said",
    [
        ({"card": "A40"}, "`card` is about GPUs"),
        ({"gpus": 1, "card": "A40", "gpu_memory_gb": 48}, "`card` says what `gpu_memory_gb` says"),
        ({"gpus": 1, "gpu_tflops": 100}, "give its `gpu_memory_gb` too"),
        ({"gpus": 1, "card": "A41"}, "did you mean `A40`"),
    ],
)
def test_what_contradicts_is_refused_with_the_way_out(hardware, said):
    with pytest.raises(UserError, match="models.eight.hardware") as caught:
        study(lambda mapping: mapping["models"]["eight"].update(hardware=hardware))
    assert said in str(caught.value)
