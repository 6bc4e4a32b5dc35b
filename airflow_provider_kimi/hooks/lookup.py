"""The lookup of an Airflow connection, with errors in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_kimi.compat import AirflowNotFoundException
from airflow_provider_kimi.exceptions import KimiConnectionConfigError, KimiNoAnswerError


@contextmanager
def looking_up(conn_id: str) -> Iterator[None]:
    """Translate what goes wrong while Airflow looks up a connection.

    :raises KimiConnectionConfigError: There is none of this id.
    :raises KimiNoAnswerError: Airflow or its secrets backend fails.
    """
    try:
        yield
    except AirflowNotFoundException:
        raise KimiConnectionConfigError(
            f"There is no Airflow connection {conn_id!r}. Nothing was sent. Create one of type 'kimi' with an API key, "
            "or pass the id of another one as kimi_conn_id. If there is one, Airflow cannot read it: a URI names its "
            "host without https://, JSON only Airflow's fields."
        ) from None
    except Exception as error:  # whatever a secrets backend raises; its text may hold secrets
        raise KimiNoAnswerError(
            f"Airflow could not look up connection {conn_id!r} ({type(error).__name__}). Nothing was sent; batches go "
            "on as they were. Check Airflow's API server and secrets backend if this lasts."
        ) from None
