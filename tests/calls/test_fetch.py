"""How often a file is downloaded: as long as each download gets further, within reason."""

from airflow_provider_kimi.calls.fetch import MOST_DOWNLOADS, Attempts


def test_pauses_are_used_up_where_downloads_get_no_further() -> None:
    attempts = Attempts((1.0, 2.0))
    assert [attempts.pause_after(600) for _ in range(3)] == [1.0, 2.0, None]
    assert attempts.met == 3


def test_a_download_that_got_further_gets_all_pauses_again() -> None:
    attempts = Attempts((1.0, 2.0))
    assert [attempts.pause_after(size) for size in (600, 600, 700, 700, 0, 700)] == [1.0, 2.0, 1.0, 2.0, None, None]


def test_a_first_byte_after_faults_without_one_is_not_further() -> None:
    """Nothing says yet that the next download goes on behind it."""
    attempts = Attempts((1.0, 2.0))
    assert [attempts.pause_after(size) for size in (0, 5, 5)] == [1.0, 2.0, None]


def test_downloads_end_though_each_brings_one_byte_more() -> None:
    attempts = Attempts((1.0,))
    size = 0
    while attempts.pause_after(size := size + 1) is not None:
        pass
    assert attempts.met in (MOST_DOWNLOADS, MOST_DOWNLOADS + 1)
