"""Canonical requests; the tests of HTTP compare whole signatures with those of Baidu's signer."""

from qianfan_magic.api.wire.bce_signature import canonical_request


def test_parameter_without_a_value_is_signed():
    for query in ("b=&a", "a=&b="):
        assert canonical_request("GET", "/p", query, {}) == "GET\n/p\na=&b=", query
