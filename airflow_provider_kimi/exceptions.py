"""Everything that the provider raises.

::

    KimiError                       retryable: whether trying the same again can help
      KimiConnectionConfigError     the Airflow connection cannot be used as it is
      KimiInputError                the input or a parameter is wrong; nothing was sent
      KimiApiError                  the platform answered no
      KimiNoAnswerError             no answer came, so what the platform did is unknown
      KimiBatchError                a batch was accepted and then ended badly, or has not ended yet
      KimiResultError               result files could not be fetched whole

Every message says what happened, what is true now (sent, running, billed), and what to do. None holds a key, a
prompt or an answer.
"""

from typing import Self


class KimiError(Exception):
    """Base of everything below.

    An Airflow task that meets an error with ``retryable = False`` fails at once, whatever its ``retries``.
    """

    def saying(self, message: str) -> Self:
        """Return an error that differs in its message only."""
        other = type(self).__new__(type(self), message)
        other.__dict__.update(self.__dict__)
        return other

    retryable = False

    #: How long the platform asked to wait; None if it did not say.
    retry_after_seconds: float | None = None


class KimiConnectionConfigError(KimiError, ValueError):
    """The Airflow connection cannot be used as it is. Nothing was sent."""


class KimiInputError(KimiError, ValueError):
    """The input or a parameter is wrong. Nothing was sent."""


def is_outcome_unknown(status_code: int | None) -> bool:
    """Whether an answer leaves open if the platform did what was asked; None: it was not the platform's."""
    return status_code is None or status_code in (408, 499) or status_code >= 500


class KimiApiError(KimiError):
    """The platform answered no.

    :param message: What a user reads.
    :param status_code: HTTP status; None where a 200 did not hold what the API promises.
    :param error_type: The platform's ``error.type``; None where the answer had none.
    :param retryable: Whether the same call may succeed later.
    :param retry_after_seconds: How long the platform asked to wait; None if it did not say.
    :param request_id: The platform's id of the call, for its support; None if there was none.
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
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.error_type = error_type
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        self.request_id = request_id

    @property
    def outcome_unknown(self) -> bool:
        """Whether the platform may have done what was asked all the same."""
        return is_outcome_unknown(self.status_code)


class KimiNoAnswerError(KimiError):
    """No answer came: refused, dropped or timed out. What the platform did is unknown."""

    retryable = True
    outcome_unknown = True


class KimiBatchError(KimiError):
    """A batch was accepted and then ended badly, or has not ended yet.

    :param retryable: Whether trying the same again can help.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class KimiResultError(KimiError):
    """Result files could not be fetched whole."""

    retryable = True
