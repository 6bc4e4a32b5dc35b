"""Texts of the platform lose ids of accounts, keys and prompts, wherever in them these stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.redaction import MAX_QUOTED_CHARS, MAX_SHARED_CHARS, redact, without_prompt


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        pytest.param("<org-1a2b><ak-3c4d> max RPM", "<hidden><hidden> max RPM", id="documented form"),
        pytest.param("account org-1234567890<ak-x> is", "account <hidden><hidden> is", id="half in brackets"),
        pytest.param("project proj-abcdef0 is", "project <hidden> is", id="project"),
        pytest.param("<proj-1>", "<hidden>", id="short project in brackets"),
        pytest.param("key sk-abcdef0123 is", "key <hidden> is", id="key"),
        pytest.param("key SK-ABCDEF0123 is", "key <hidden> is", id="upper case"),
        pytest.param("(ak-abcdef)", "(<hidden>)", id="key id"),
        pytest.param(
            "a task-based ask-nothing risk-free text", "a task-based ask-nothing risk-free text", id="words like ids"
        ),
        pytest.param("use <html> or <model-name>", "use <html> or <model-name>", id="other brackets"),
    ],
)
def test_ids_of_accounts_and_keys_are_hidden(text: str, clean: str) -> None:
    assert redact(text) == clean


@given(
    before=st.text(max_size=400),
    secret=st.text("abcdefghij0123456789", min_size=12, max_size=40),
    after=st.text(max_size=400),
)
def test_a_key_is_hidden_in_any_text(before: str, secret: str, after: str) -> None:
    clean = redact(f"{before} sk-{secret} {after}")
    assert f"sk-{secret}" not in clean
    assert len(clean) <= MAX_QUOTED_CHARS + len("...")


def test_line_breaks_in_quoted_text_become_spaces() -> None:
    assert redact(" one\n\ttwo \u2028 three ") == "one two three"


def test_quoted_text_is_cut_only_beyond_the_limit() -> None:
    assert redact("x" * MAX_QUOTED_CHARS) == "x" * MAX_QUOTED_CHARS
    assert redact("x" * (MAX_QUOTED_CHARS + 1)) == "x" * MAX_QUOTED_CHARS + "..."


NOT_A_LETTER = st.text(max_size=60).filter(lambda text: not text[-1:].isascii() or not text[-1:].isalpha())
NAMES = st.text("abcdefghij0123456789", min_size=6, max_size=40)


@given(
    before=NOT_A_LETTER,
    kind=st.sampled_from(["sk", "ak", "org", "proj", "ORG", "Sk"]),
    name=NAMES,
    after=st.sampled_from(["", ".", ",", ">", "，", "的", '"', "\\u003e", "&gt;", "%3E", "/v1", " reached max RPM: 3"]),
    opening=st.sampled_from(["", "<", "\\u003c", "&lt;", "%3C", "'", "_", "组织", "id=", "7"]),
)
def test_an_id_is_hidden_in_any_text(before: str, kind: str, name: str, after: str, opening: str) -> None:
    assert name not in redact(f"{before}{opening}{kind}-{name}{after}").removeprefix(" ".join(before.split()))


@given(
    kind=st.sampled_from(["sk", "ak", "org", "proj"]),
    shown=st.text("abcdefghij", max_size=5),
    mask=st.sampled_from(["*", "***", "...", "…", "••••", "**********"]),
    tail=st.text("klmnop", min_size=2, max_size=5),
)
def test_a_key_of_which_only_the_ends_are_shown_is_hidden(kind: str, shown: str, mask: str, tail: str) -> None:
    assert redact(f"Incorrect API key: {kind}-{shown}{mask}{tail}") == "Incorrect API key: <hidden>"


def test_a_token_in_a_header_is_hidden() -> None:
    assert redact("got 'Authorization: Bearer ey123.x' twice") == "got 'Authorization: Bearer <hidden> twice"
    assert redact("Bearer authentication is required") == "Bearer authentication is required"


@given(
    prompt=st.text("abcdefgh 好", min_size=MAX_SHARED_CHARS + 1, max_size=80).map(lambda text: " ".join(text.split())),
    start=st.integers(0, 40),
)
def test_no_longer_part_of_a_prompt_stands_in_a_text(prompt: str, start: int) -> None:
    repeated = prompt[start : start + 40]
    messages = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
    clean = without_prompt(f"Your message '{repeated}' is refused", messages)
    longest = MAX_SHARED_CHARS + 1
    parts = {repeated[place : place + longest] for place in range(len(repeated) - longest + 1)}
    assert not [part for part in parts if part in clean]
    assert clean.startswith("Your message '")


def test_what_a_text_says_itself_is_kept() -> None:
    said = "Input token length too long: 300000 > 262144"
    assert without_prompt(said, [{"role": "user", "content": "How long is too long?"}]) == said
    assert without_prompt(said, None) == said
    assert without_prompt("'hello' is no prompt", [{"role": "user", "content": "hello"}]) == "'<hidden>' is no prompt"
