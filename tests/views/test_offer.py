"""The parameters that the panel offers for a model, and the table that the notebook keeps."""

from __future__ import annotations

import re

from qianfan_magic.api.catalogue.cards import CHAT, Card
from qianfan_magic.api.catalogue.parameters import BY_NAME, SHAPING
from qianfan_magic.api.catalogue.resolver import Service
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.views.offer import Offer

CARD = Card(name="tutor", kinds=CHAT, defaults={"temperature": 0.8, "enable_thinking": True})
TUTOR = Service("ernie-5.1", version=ApiVersion.V2, card=CARD)


def offer_of(*names: str, service: Service = TUTOR) -> Offer:
    return Offer.of([BY_NAME[name] for name in names], (service, "chat"))


def test_parameters_are_sorted_by_whether_the_model_takes_them():
    offer = offer_of("top_k", "seed", "temperature", "reasoning_effort")
    assert [row.name for row in offer.taken] == ["seed", "temperature"]
    assert [row.name for row in offer.others] == ["top_k", "reasoning_effort"]
    assert "tutor does not take: top_k, reasoning_effort." in offer.bundle({})["text/plain"]


def test_every_parameter_is_offered_if_the_model_is_unknown():
    offer = Offer.of(SHAPING, None)
    assert (offer.taken, offer.others, offer.heading) == (SHAPING, (), "Parameters")


def test_range_is_that_of_the_models_version():
    offer = offer_of("max_tokens", service=Service("dolly_12b"))
    assert "[2, 2048]" in offer.bundle({})["text/plain"]
    [control] = offer.state()["taken"]
    assert (control["kind"], control["minimum"], control["maximum"]) == ("slider", 2, 2048)


def test_control_fits_the_type_of_the_parameter():
    service = Service("any", version=ApiVersion.V2)
    rows = offer_of("temperature", "seed", "stop", "web_search", "search_mode", service=service)
    slider, number, texts, switch, choice = rows.state()["taken"]
    assert slider.items() >= {"kind": "slider", "minimum": 0.05, "maximum": 1, "step": 0.05}.items()
    assert number.items() >= {"kind": "number", "minimum": 1, "step": 1}.items()
    assert texts["kind"] == "texts"
    assert switch.items() >= {"kind": "choice", "choices": (True, False)}.items()
    assert choice["choices"] == ("auto", "required")


def test_default_of_the_card_is_shown_with_the_range():
    offer = offer_of("temperature", "top_p")
    stated, unstated = offer.state()["taken"]
    assert stated["default"] == 0.8
    assert "default" not in unstated
    assert re.search("temperature +\N{EN DASH} +0.8 +a number", offer.bundle({})["text/plain"])


def test_advice_names_what_does_not_go_together_or_is_not_sent():
    offer = offer_of("temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens")
    cases = [
        ({"temperature": 0.3, "max_tokens": 5}, ""),
        ({"temperature": 0.3, "top_p": 0.3}, "set only one of temperature and top_p"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "exclude each other"),
        ({"top_k": 5}, "Set, but not sent to tutor: top_k."),
    ]
    for values, words in cases:
        assert words in offer.advice(values), values
        assert bool(words) == bool(offer.advice(values)), values
        assert offer.advice(values) in offer.bundle(values)["text/plain"], values
