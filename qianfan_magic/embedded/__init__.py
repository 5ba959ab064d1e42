"""A local server that speaks Qianfan's protocol, so that everything runs without credentials.

`server.EmbeddedServer` serves both versions of the API and IAM's token endpoint on 127.0.0.1. It
authenticates and validates requests as the service does; an engine writes the answers.
"""

__all__ = ["ENGINE_NAMES"]

#: The engines: a script that knows some answers, and a tiny real model (`engines.smollm2`).
ENGINE_NAMES = ("scripted", "smollm2")
