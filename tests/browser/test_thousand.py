"""A thousand batches: how soon the first of them are seen, and what all who look cost the platform."""

from tests.browser.conftest import THOUSANDS, People, Place

#: Notes when the first frame that shows a row is drawn, in milliseconds since the navigation began.
STOPWATCH = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("tbody tr")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.drawnAt = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""


def first_row_ms(people: People, place: Place, conn_id: str) -> float:
    page = people.window(viewport={"width": 1400, "height": 800})
    page.add_init_script(f"localStorage.setItem('kimi-batches-connection', '{conn_id}');" + STOPWATCH)
    page.goto(f"{place.airflow.url}/kimi/")
    page.wait_for_function("window.drawnAt")
    print(
        page.evaluate(
            "JSON.stringify(performance.getEntriesByType('resource').map(e => [e.name.split('/').pop(), Math.round(e.startTime), Math.round(e.requestStart), Math.round(e.responseStart), Math.round(e.responseEnd)]))"
        )
    )
    return page.evaluate("window.drawnAt")


def test_x(place, people):
    for c in [
        *THOUSANDS,
        THOUSANDS[0],
        THOUSANDS[0],
        THOUSANDS[0],
        "kimi_default",
        "kimi_default",
        "kimi_strange",
        "kimi_strange",
    ]:
        print(c, first_row_ms(people, place, c))
