"""What was paid, and is accepted, goes into the cache."""

from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.records.tags import digest_of
from airflow_provider_kimi.results.landing import Collected


def store_answers(cache: str, collected: Collected, log: Log) -> None:
    """Keep the usable answers of a result for later runs, and note how many rows the cache has answered.

    A landing that is done again replaces what it has kept before. A cache that cannot be written changes nothing of the
    result.

    :param cache: URI of the cache.
    """
    if collected.kept is None:  # whoever landed it has stored it
        return
    manifest = collected.manifest
    name = digest_of(*(manifest.landed_by or {}).values(), *sorted(manifest.works))
    try:
        store = AnswerCache(cache)
        with store.writer(name) as writer:
            for digest, answer in collected.kept.each():
                writer.add(digest, answer)
        if hits := (manifest.saved or {}).get("cache"):
            store.note_hits(name, hits)
    except Exception as error:  # whatever its storage says
        log.warning(
            "The result is landed and accepted; its %s usable answers are not in cache %s (%s: %s), so a later run "
            "pays for these rows again. Clear this task once the cache can be written: nothing is paid for that.",
            *(f"{collected.kept.count:,}", cache, type(error).__name__, error),
        )
    else:
        log.info("%s answers of this task are in cache %s for later runs.", f"{writer.count:,}", cache)
