"""Everything that the provider raises.

::

    KimiError                       retryable: whether a retry can help
      KimiConnectionConfigError     the Airflow connection, or a client for it, cannot be used
      KimiInputError                the input or a parameter is wrong; nothing was sent
      KimiApiError                  the platform answered with an error
      KimiNoAnswerError             no answer came; it says whether the call may have been sent
      KimiBatchError                a batch ended badly, or has not ended yet
      KimiResultError               a result file could not be downloaded whole
      KimiStoppedError              Airflow is ending the task, so it started nothing more

Every message says what happened, what is true now (sent, running, billed), and what to do. None holds a key, a
prompt or an answer.
"""

from typing import Literal, Self

#: What an error of the platform is about, however it is worded.
ApiErrorKind = Literal[
    "balance",  # the account's money, or the project's budget, is used up
    "daily_tokens",  # the tokens of a day are used up
    "file_quota",  # the account holds as many files as it may
    "queue",  # as many batches or rows are in the queue as may be
    "rate_limit",  # too many requests, or the platform is overloaded
    "fault",  # a fault on the platform's side, or an answer that is not the platform's
    "key",  # the key is refused
    "forbidden",  # the account may not do this
    "not_found",  # what the call names does not exist, or belongs to another account
    "content_filter",  # the content is refused
    "redirect",  # the host sends callers elsewhere
    "input",  # anything else that is wrong with the call
]

#: Why no answer came.
NoAnswerKind = Literal[
    "name",  # the name of the host, or of the proxy, does not resolve
    "refused",  # nobody takes connections there, or there is no way to it
    "certificate",  # the certificate is not trusted
    "tls",  # what is there does not speak TLS, or another version of it
    "proxy",  # the proxy does not connect to the host
    "timeout",  # no connection, or no answer, in time
    "closed",  # the connection was closed, or brought something that is not HTTP
    "unknown",  # anything else
]


class KimiError(Exception):
    """Base of all errors of this provider.

    With ``retryable = False`` an Airflow task fails at once, whatever its ``retries``.
    """

    retryable = False

    #: How long the platform asks to wait; None if it does not say.
    retry_after_seconds: float | None = None

    def __str__(self) -> str:
        """The message, in characters that a log can hold: a task of Airflow dies silently of half a character."""
        return super().__str__().encode(errors="backslashreplace").decode()

    def saying(self, message: str) -> Self:
        """Return the same error with another message."""
        other = type(self).__new__(type(self), message)
        other.__dict__.update(self.__dict__)
        return other


class KimiConnectionConfigError(KimiError, ValueError):
    """The Airflow connection, or a client for it in this environment, cannot be used. Nothing was sent."""

    @classmethod
    def of(cls, conn_id: str, fault: str, remedy: str) -> Self:
        """Say what is wrong with a connection, and what to do."""
        return cls(f"Connection {conn_id!r} {fault}. Nothing was sent. {remedy}")


class KimiInputError(KimiError, ValueError):
    """The input or a parameter is wrong. Nothing was sent."""


def is_outcome_unknown(status_code: int | None) -> bool:
    """Whether the platform may have done what it was asked, although it answered with an error.

    :param status_code: None for an answer that is not the platform's.
    """
    return status_code is None or status_code in (303, 408, 499) or status_code >= 500


class KimiApiError(KimiError):
    """The platform answered with an error.

    :param message: What a user reads.
    :param status_code: HTTP status; None for a 200 that does not hold what the API promises.
    :param error_type: The platform's ``error.type``; None if the answer has none.
    :param retryable: Whether the same call may succeed later.
    :param retry_after_seconds: How long the platform asks to wait; None if it does not say.
    :param request_id: The platform's id of the call, for its support; None if there is none.
    :param kind: What it is about, for programs that decide; see `ApiErrorKind`.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None,
        error_type: str | None = None,
        retryable: bool = False,
        retry_after_seconds: float | None = None,
        request_id: str | None = None,
        kind: ApiErrorKind = "input",
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.error_type = error_type
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        self.request_id = request_id
        self.kind: ApiErrorKind = kind

    @property
    def outcome_unknown(self) -> bool:
        """Whether the platform may have done what it was asked."""
        return is_outcome_unknown(self.status_code)


class KimiNoAnswerError(KimiError):
    """No answer came.

    :param kind: Why, for programs that decide; see `NoAnswerKind`.
    :param retryable: Whether the same call may succeed later. False for what somebody has to set right: a certificate,
        a protocol, or the refusal of a proxy.
    :param outcome_unknown: Whether the platform may have done what it was asked; False if the call was never sent.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: NoAnswerKind = "unknown",
        retryable: bool = True,
        outcome_unknown: bool = True,
    ) -> None:
        super().__init__(message)
        self.kind: NoAnswerKind = kind
        self.retryable = retryable
        self.outcome_unknown = outcome_unknown


class KimiBatchError(KimiError):
    """A batch ended badly, or has not ended yet.

    :param retryable: Whether a retry can help.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class KimiResultError(KimiError):
    """A result file could not be downloaded whole, or the result would be poorer than the one that is there."""

    retryable = True


class KimiStoppedError(KimiError):
    """Airflow is ending the task, so it started nothing more that costs money."""

    retryable = True
