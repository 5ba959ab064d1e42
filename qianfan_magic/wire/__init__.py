"""What goes over the wire: a module for each version of the API, and the types of answers."""

from qianfan_magic.wire.v1 import read_reply

__all__ = ["read_reply"]
