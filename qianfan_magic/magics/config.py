"""The settings of ``%config QianfanMagics``, as traits."""

from __future__ import annotations

from typing import Any

import traitlets

from qianfan_magic.api.catalogue.parameter import Parameter
from qianfan_magic.api.catalogue.parameters import FLAGGED, SENDING
from qianfan_magic.api.catalogue.user_cards import read_cards
from qianfan_magic.session.cell_options import FORMATS

__all__ = ["CONFIGURABLE", "MODELS_SETTING", "MagicsConfig"]

#: The parameters that can be set for every cell of a notebook.
CONFIGURABLE = (*FLAGGED, *SENDING)
#: The name of the setting with the user's own cards, for error messages.
MODELS_SETTING = "%config QianfanMagics.models"


class ParameterTrait(traitlets.TraitType[Any, Any]):
    """A request parameter as a setting of the notebook; None leaves it to the service."""

    def __init__(self, parameter: Parameter) -> None:
        super().__init__(
            default_value=None, allow_none=True, help=f"{parameter.help} ({parameter.range})"
        )
        self.tag(config=True)
        self._parameter = parameter

    def validate(self, obj: Any, value: Any) -> Any:
        """Return the checked value."""
        del obj
        return self._parameter.check(value)


class ModelsTrait(traitlets.TraitType[Any, Any]):
    """The user's own model cards and aliases, see `qianfan_magic.api.catalogue.user_cards`."""

    def __init__(self) -> None:
        help_text = 'Short names and cards of models, such as {"tutor": "ernie-5.1"}.'
        super().__init__(default_value={}, help=help_text)
        self.tag(config=True)

    def validate(self, obj: Any, value: Any) -> Any:
        """Return the checked table."""
        del obj
        read_cards(value, MODELS_SETTING)
        return value


#: A class with a trait for each parameter, made from the table as a class body cannot be.
_ParameterTraits = traitlets.MetaHasTraits(
    "_ParameterTraits",
    (traitlets.HasTraits,),
    {parameter.name: ParameterTrait(parameter) for parameter in CONFIGURABLE},
)


class MagicsConfig(_ParameterTraits):  # type: ignore[misc,valid-type]
    """Settings of a notebook, which apply to every cell whose flags do not override them."""

    chat_endpoint = traitlets.Unicode(
        help="Endpoint that %%qianfan_chat uses without -e and -m."
    ).tag(config=True)
    complete_endpoint = traitlets.Unicode(
        help="Endpoint that %%qianfan_complete uses without -e and -m."
    ).tag(config=True)
    model = traitlets.Unicode(help="Model to use if no endpoint is given.").tag(config=True)
    complete_model = traitlets.Unicode(
        help="Model to use for %%qianfan_complete instead, since most models only chat."
    ).tag(config=True)
    format = traitlets.Enum(
        ("", *FORMATS),
        "",
        help="How answers are shown; by default chats as markdown, completions as text.",
    ).tag(config=True)
    models = ModelsTrait()
    tools = traitlets.List(
        traitlets.Unicode(), help="Functions of the notebook that the model of a chat may call."
    ).tag(config=True)
    max_turns = traitlets.Int(
        default_value=None,
        allow_none=True,
        min=0,
        help="Maximum number of earlier turns to send with a chat's question; None: all that fit.",
    ).tag(config=True)

    def configured_parameters(self) -> dict[str, Any]:
        """Return the parameters that are set, by name."""
        values = {parameter.name: getattr(self, parameter.name) for parameter in CONFIGURABLE}
        return {name: value for name, value in values.items() if value is not None}
