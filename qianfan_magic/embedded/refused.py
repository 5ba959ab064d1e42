"""An answer that says no."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818  an answer of the service, not an error of the server
    """The service says no.

    Parameters
    ----------
    error_code
        Version 1's number, or the word of version 2 or of IAM.
    error_msg
        In the service's words.
    status
        Of HTTP; version 1 answers 200 whatever it says.
    """

    def __init__(self, error_code: int | str, error_msg: str, status: int = 400) -> None:
        super().__init__(error_msg)
        self.error_code = error_code
        self.error_msg = error_msg
        self.status = status
